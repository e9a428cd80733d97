"""A network of a test's own, with a loopback and no way out, in which connections are redirected to a proxy.

Only where this may be made: as root, with `ip` and `nft` installed.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable

_NEW_NETWORK = 0x40000000
WORKLOAD, FOREIGNER = 1, 2
"""Marks of sockets: of the workload, whose connections go to the outbound port of its proxy; and of somebody
elsewhere, whose connections go to the inbound port."""

_RULES = """
table ip mesh {{
  chain redirected {{
    type nat hook output priority -100;
    meta mark {workload} tcp dport != {outbound} redirect to :{outbound}
    meta mark {foreigner} tcp dport != {inbound} redirect to :{inbound}
  }}
  chain behind {{
    type filter hook output priority 100;
    meta mark {{ {workload}, {foreigner} }} ip daddr != 127.0.0.0/8 reject with tcp reset
    oifname != "lo" reject
  }}
}}
"""


def missing() -> str:
    """What there is not, for a skipped test to say; "" when nothing is missing."""
    if os.geteuid() != 0:
        return "a network namespace takes root"
    lacking = [tool for tool in ("ip", "nft") if shutil.which(tool) is None]
    if lacking:
        return f"not installed: {', '.join(lacking)}"
    problems: list[str] = []
    _in_thread(lambda: problems.append(_unshared()))
    return problems[0]


def in_network(scenario: Callable[[], None], *addresses: str, outbound: int, inbound: int) -> None:
    """Run the scenario, and all processes that it starts, in a network that has the addresses on its
    loopback. Marked connections are redirected to the ports, and rejected where they are not. The network is
    gone when the last process is."""

    def run() -> None:
        problem = _unshared()
        assert not problem, problem
        for arguments in (["link", "set", "lo", "up"], *(["addr", "add", a, "dev", "lo"] for a in addresses)):
            subprocess.run(["ip", *arguments], check=True)
        rules = _RULES.format(workload=WORKLOAD, foreigner=FOREIGNER, outbound=outbound, inbound=inbound)
        subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
        scenario()

    _in_thread(run)


def ask(mark: int, address: str, port: int, line: bytes = b"hello\n") -> bytes:
    """The answer to one line over a marked connection, b"" when the connection failed or was closed."""
    try:
        with socket.socket() as sock:
            sock.settimeout(10)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sock.connect((address, port))
            sock.sendall(line)
            with sock.makefile("rb") as answer:
                return answer.readline()
    except OSError:
        return b""


def _unshared() -> str:
    """Give this thread a network of its own; the reason when that does not work."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_NEW_NETWORK) != 0:
        return f"no network namespace: {os.strerror(ctypes.get_errno())}"
    return ""


def _in_thread(run: Callable[[], None]) -> None:
    """A network belongs to a thread and to what it starts, so that the rest of the tests keeps its own."""
    failed: list[BaseException] = []

    def guarded() -> None:
        try:
            run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=guarded)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
