"""Hosts of a test's own, joined by a switch and without a way out, in which traffic may be redirected.

Everything that uses mesh VIPs (240.0.0.0/4) or redirect rules runs in such hosts. Each has a loopback and an
`eth0` with an IPv4 and an IPv6 address; the VIP ranges are routed to `eth0`, where everything for them that
was not redirected is rejected. The switch is a network of its own: the machine's tables are never touched.

    LACKING = missing("iptables-nft")
    pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

    def test_calls(mesh_lab: Lab) -> None:
        with network("client", "server") as hosts:
            client, server = hosts["client"], hosts["server"]
            with server.inside():  # sockets and programs made here belong to it
                plane = mesh_lab.control_plane()
                app = mesh_lab.app("http", "backend", 8080, server.address)
            with client.inside():
                client.redirect("--redirect-all-dns-traffic", "--backend=iptables-nft")
                sidecar = mesh_lab.sidecar(
                    plane, document, prefix=AS_KUMA_DP, arguments=["--transparent-proxy"]
                ).ready()
                # As root, so not exempt; with a resolv.conf of its own, without it with the machine's.
                client.run("curl", "-sS", "http://backend.mesh", resolv_conf="nameserver 10.123.0.9")
                client.restore()

`inside()` moves the calling thread: `lab.http`, `eventually`, sockets and programs started meanwhile are of
that host, and stay there. The hosts are gone when the last of their processes is.
"""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from kumactl.commands import root
from network_namespace import assert_not_the_hosts, entered, missing, new_network

__all__ = [
    "AS_KUMA_DP",
    "Host",
    "as_user",
    "connect",
    "ip_batch",
    "join",
    "kept_network",
    "missing",
    "network",
    "with_resolv_conf",
]

KUMA_DP_UID = 5678
VIPS, VIPS_6 = "240.0.0.0/4", "fd00:240::/32"

_STOP = f"""
table inet stop {{
  chain behind {{
    type filter hook output priority 100; policy accept;
    oifname "lo" accept
    ip daddr {VIPS} meta l4proto tcp reject with tcp reset
    ip daddr {VIPS} reject
    ip6 daddr {VIPS_6} meta l4proto tcp reject with tcp reset
    ip6 daddr {VIPS_6} reject
  }}
}}
"""


def as_user(uid: int) -> list[str]:
    """What to put before a command so that it runs as this user; it may read what only root can, because the
    tree of the tests may lie in somebody's private folder. For access(2) it takes a bit besides."""
    capability = "dac_read_search"
    return [
        "setpriv", "--securebits=+no_setuid_fixup", f"--reuid={uid}", f"--regid={uid}", "--clear-groups",
        f"--inh-caps=-all,+{capability}", f"--ambient-caps=+{capability}",
    ]  # fmt: skip


AS_KUMA_DP = as_user(KUMA_DP_UID)


def with_resolv_conf(file: Path) -> list[str]:
    """What to put before a command, and before `as_user`, so that this file is its /etc/resolv.conf."""
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "--propagation=private", "sh", "-c", script, str(file)]


@dataclass(frozen=True)
class Host:
    """One of the hosts of `network`."""

    name: str
    address: str
    address_6: str
    descriptor: int

    @contextlib.contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is on the host."""
        with entered(self.descriptor):
            assert_not_the_hosts()
            yield

    def run(
        self,
        *argv: str,
        stdin: str = "",
        uid: int = 0,
        resolv_conf: str | None = None,
        check: bool = True,
        timeout_s: float = 60,
    ) -> subprocess.CompletedProcess[str]:
        """Run a program on the host to its end, as root or another user."""
        with contextlib.ExitStack() as stack:
            command = [*(as_user(uid) if uid else []), *argv]
            if resolv_conf is not None:
                file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".resolv.conf"))
                file.write(resolv_conf)
                file.flush()
                os.chmod(file.name, 0o644)
                command = [*with_resolv_conf(Path(file.name)), *command]
            stack.enter_context(self.inside())
            done = subprocess.run(
                command, input=stdin, capture_output=True, text=True, timeout=timeout_s, check=False
            )
        assert not check or done.returncode == 0, f"{' '.join(argv)}: {done.stdout}{done.stderr}"
        return done

    def kumactl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """kumactl on the host, in this process: all of it but the start of a program."""
        out, err = io.StringIO(), io.StringIO()
        with self.inside(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = root.run(list(arguments))
        done = subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())
        assert not check or code == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done

    def redirect(self, *flags: str) -> str:
        """`kumactl install transparent-proxy` for a kuma-dp that runs as `AS_KUMA_DP`; what it prints."""
        # There need not be such a user on this machine, which is what this setting is for.
        settings = f"--config={{cniMode: true, kumaDPUser: '{KUMA_DP_UID}'}}"
        return self.kumactl("install", "transparent-proxy", settings, *flags).stdout

    def restore(self) -> str:
        """`kumactl uninstall transparent-proxy`."""
        return self.kumactl("uninstall", "transparent-proxy").stdout


@contextlib.contextmanager
def network(*names: str) -> Iterator[dict[str, Host]]:
    """Hosts by their names, in order at 10.123.0.1, 10.123.0.2 and fd00:123::1, fd00:123::2, and so on."""
    with contextlib.ExitStack() as stack:
        hosts = {
            name: Host(name, f"10.123.0.{number}", f"fd00:123::{number}", kept_network(stack))
            for number, name in enumerate(names, 1)
        }
        join(kept_network(stack), hosts.values())
        for host in hosts.values():
            with host.inside():
                connect(host)
        yield hosts


def join(switch: int, hosts: Iterable[Host], device: str = "eth0") -> None:
    """In an empty network: a switch, to which each host has a device."""
    with entered(switch):
        ip_batch("link add switch type bridge", "link set switch up")
        for number, host in enumerate(hosts, 1):
            target = f"/proc/{os.getpid()}/fd/{host.descriptor}"
            ip_batch(
                f"link add port{number} type veth peer name {device} netns {target}",
                f"link set port{number} master switch up",
            )


def connect(host: Host) -> None:
    """On the host: its eth0, and what stops mesh VIPs."""
    ip_batch(
        f"addr add {host.address}/24 dev eth0",
        f"addr add {host.address_6}/64 dev eth0 nodad",
        "link set eth0 up",
        f"route add {VIPS} dev eth0",
        f"route add {VIPS_6} dev eth0",
    )
    assert_not_the_hosts()
    subprocess.run(["nft", "-f", "-"], input=_STOP, text=True, check=True)


def kept_network(stack: contextlib.ExitStack) -> int:
    """A new network, which lasts as long as the stack."""
    descriptor = new_network()
    stack.callback(os.close, descriptor)
    return descriptor


def ip_batch(*commands: str) -> None:
    """Run `ip` commands where this thread is."""
    subprocess.run(
        ["ip", "-batch", "-"], input="\n".join(commands), text=True, check=True, capture_output=True
    )
