"""A network of a test's own, with a loopback and no way out, in which connections are redirected to a proxy.

Only where this may be made: as root, with `ip` and `nft` installed.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator

_LIBC = ctypes.CDLL(None, use_errno=True)
_NEW_NETWORK = 0x40000000
_HERE = "/proc/thread-self/ns/net"
WORKLOAD, FOREIGNER = 1, 2
"""Marks of sockets: of the workload, whose connections go to the outbound port of its proxy; and of somebody
elsewhere, whose connections go to the inbound port."""


def _network_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


_NOT_OURS = {_network_of(path) for path in ("/proc/1/ns/net", _HERE) if os.path.exists(path)}
"""The network of the host, and that in which the tests were started."""

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


def missing(*tools: str) -> str:
    """What there is not, for a skipped test to say; "" when nothing is missing. `tools` are needed besides
    `ip` and `nft`."""
    if os.geteuid() != 0:
        return "a network namespace takes root"
    lacking = [tool for tool in ("ip", "nft", *tools) if shutil.which(tool) is None]
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
        assert_not_the_hosts()
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


def new_network() -> int:
    """A file descriptor of a new network, which lasts as long as the descriptor or a process in it."""
    opened: list[int] = []

    def run() -> None:
        problem = _unshared()
        assert not problem, problem
        assert_not_the_hosts()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        opened.append(os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC))

    _in_thread(run)
    return opened[0]


@contextlib.contextmanager
def entered(network: int) -> Iterator[None]:
    """This thread, and what it starts meanwhile, is in the network; then back where it was."""
    before = os.open(_HERE, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(network)
        try:
            yield
        finally:
            _enter(before)
    finally:
        os.close(before)


def assert_not_the_hosts() -> None:
    """Before a rule is applied: this thread is in the network of neither the host nor the tests."""
    assert _network_of(_HERE) not in _NOT_OURS, "these rules are not for the tables of the host"


def _enter(network: int) -> None:
    if _LIBC.setns(network, _NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _unshared() -> str:
    """Give this thread a network of its own; the reason when that does not work."""
    if _LIBC.unshare(_NEW_NETWORK) != 0:
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
