"""What a user of `kumactl install transparent-proxy` gets wrong, or lacks, is one clear line."""

from __future__ import annotations

import io
import os
import socket
from pathlib import Path

import pytest

from host_tables import (
    ALL,
    INSTALL,
    KUMACTL,
    NO_USER,
    fake,
    ours,
    sidecar_address,
    tables,
)
from redirected_network import KUMA_DP_UID, Host

NO_IPTABLES = "--iptables-executables=iptables:/bin/true,iptables-save:/bin/true,iptables-restore:/bin/true"
UDP = socket.SOCK_DGRAM


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--kuma-dp-user=nobody-there",), "create it with: useradd --uid 5678 --user-group nobody-there"),
        (("--kuma-dp-user=54321",), "create it with: useradd --uid 54321 --user-group kuma-dp"),
        (("--redirect-inbound-port=0",), "--redirect-inbound-port is wrong: 0 is not a port from 1 to 65535"),
        (("--redirect-dns", "--redirect-dns-port=15006"), "--redirect-dns-port and redirect.inbound.port"),
        (("--exclude-outbound-ips=10.0.0.0/64",), "'10.0.0.0/64' is neither an IP address nor a CIDR"),
        (("--exclude-inbound-ports=22,ssh",), "Invalid value for '--exclude-inbound-ports': 'ssh' is not"),
        ((NO_USER, "--redirect-dns", "--config-file=-"), "cannot read /none: No such file or directory"),
        (("--config=redirect: {dsn: {}}",), "--config: the configuration file has an unknown key redirect"),
        (("--config-file=/none",), "cannot read /none: No such file or directory"),
        (("--config-file=/",), "--config-file: / is a directory; name a file"),
        (("--config=-",), "use --config-file=- for stdin"),
        (("--ebpf-enabled",), "redirecting with eBPF is not possible; leave it out"),
        (("--store-firewalld",), "firewalld's own configuration is not written"),
        ((NO_USER, "--iptables-executables=iptables:/x"), "iptablesExecutables has only iptables; give"),
        ((NO_USER, NO_IPTABLES), "/bin/true is no iptables that can be run; correct iptablesExecutables"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_changes_nothing(
    host: Host, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], said: str
) -> None:
    stdin = "redirect: {dns: {resolvConfigPath: /none}}"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
    done = host.kumactl(*INSTALL, *flags, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert ours(host) == 0


@pytest.mark.parametrize("command", [(*INSTALL, NO_USER), ("uninstall", "transparent-proxy")])
def test_without_the_capability_it_is_told(host: Host, command: tuple[str, ...]) -> None:
    done = host.run(*KUMACTL, *command, uid=KUMA_DP_UID, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "Error: redirecting traffic takes the capability CAP_NET_ADMIN; run kumactl"
    )
    assert done.stderr.count("\n") == 1


def test_old_names_of_flags_are_told(host: Host) -> None:
    flags = (
        "--kuma-dp-uid=0",
        "--redirect-dns-upstream-target-chain=X",
        "--dry-run",
        "--ip-family-mode=ipv4",
    )
    done = host.kumactl(*INSTALL, *flags)
    assert "--uid-owner 0 " in done.stdout
    assert done.stderr.splitlines() == [
        "WARNING: --kuma-dp-uid is an old name; use --kuma-dp-user",
        "WARNING: --redirect-dns-upstream-target-chain has no effect",
    ]


def test_without_ipv6_the_rest_is_redirected_and_it_is_told(host: Host) -> None:
    host.run("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
    done = host.kumactl(*INSTALL, NO_USER, "--backend=iptables-nft")
    assert done.stderr == (
        "WARNING: this host has no IPv6: only IPv4 is redirected; --ip-family-mode=ipv4 asks for that\n"
    )
    assert "with iptables-nft for IPv4;" in done.stdout
    host.restore()
    assert ours(host) == 0


def test_without_a_name_server_to_redirect_it_is_told(host: Host, tmp_path: Path) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text("search mesh\n")
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"{{redirect: {{dns: {{resolvConfigPath: {conf}}}}}, cniMode: true}}")
    done = host.kumactl(*INSTALL, f"--config-file={settings}", "--redirect-dns", "--backend=nft")
    assert (
        f"WARNING: {conf} lists no name server: only --redirect-all-dns-traffic redirects DNS" in done.stderr
    )
    assert "15053" not in tables(host)


def test_a_program_that_the_kernel_does_not_support_is_left_out(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("iptables-nft-save", "nft"):
        fake(tmp_path, name, "echo no such protocol >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    done = host.kumactl(*INSTALL, NO_USER)
    assert "with iptables-legacy for IPv4 and IPv6" in done.stdout
    assert done.stderr.splitlines() == [
        "WARNING: iptables-nft is left out: iptables-nft-save failed: no such protocol",
        "WARNING: nft is left out: nft failed: no such protocol",
    ]
    refused = host.kumactl(*INSTALL, NO_USER, "--backend=nft", check=False)
    assert refused.stderr.splitlines()[-1].startswith(
        "Error: nft failed: no such protocol; nothing was changed"
    )


def without_programs(host: Host, folder: Path, *kept: str) -> str:
    """What kumactl says on a host that has none of the programs but those."""
    links = "".join(f'ln -s "$0/{program}" /usr/sbin/{program} && ' for program in kept)
    hide = f'mount --bind /usr/sbin "$0" && mount -t tmpfs none /usr/sbin && {links} exec "$@" 2>&1'
    private = ("unshare", "--mount", "--propagation=private")
    return host.run(*private, "sh", "-c", hide, str(folder), *KUMACTL, *INSTALL, NO_USER, check=False).stdout


def test_without_iptables_nft_is_used_and_without_both_it_is_told(host: Host, tmp_path: Path) -> None:
    assert without_programs(host, tmp_path) == (
        "Error: neither iptables nor nft is installed; install one of them, such as with: "
        "apt install iptables\n"
    )
    assert "is redirected with nft for IPv4 and IPv6" in without_programs(host, tmp_path, "nft")
    assert "table ip kuma_mesh" in tables(host)


def test_without_ip6tables_the_rest_is_redirected_and_it_is_told(host: Host, tmp_path: Path) -> None:
    programs = [f"iptables-nft{suffix}" for suffix in ("", "-save", "-restore")]
    assert without_programs(host, tmp_path, *programs).splitlines() == [
        "WARNING: ip6tables is not there for iptables-nft: only IPv4 is redirected",
        "# The traffic of this host is redirected with iptables-nft for IPv4; kuma-dp may now be run with "
        "--transparent-proxy",
    ]
    assert not sidecar_address(host)


@pytest.mark.parametrize(
    ("server", "bound"),
    [
        ("127.0.0.53", "127.0.0.53"),
        ("127.0.0.53", "0.0.0.0"),
        ("10.123.0.1", "0.0.0.0"),
        ("::1", "::1"),
        ("fd00:123::1", "::"),
    ],
)
def test_a_resolver_of_this_host_that_would_ask_kuma_dp_is_told(
    host: Host, tmp_path: Path, server: str, bound: str
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver 10.123.0.2\nnameserver {server}\n")
    settings = f"--config={{cniMode: true, redirect: {{dns: {{resolvConfigPath: {conf}}}}}}}"
    flags = (*INSTALL, settings, "--dry-run")
    alone = "--exclude-outbound-ports-for-uids=53:0"
    with host.inside(), socket.socket(socket.AF_INET6 if ":" in bound else socket.AF_INET, UDP) as resolver:
        assert host.kumactl(*flags, ALL).stderr == ""
        resolver.bind((bound, 53))
        assert host.kumactl(*flags, ALL).stderr == (
            f"WARNING: the name server {server} in {conf} is a program of this host with the uid 0: its own "
            f"queries go to kuma-dp, and kuma-dp asks it; leave it alone with {alone}, "
            "or use --redirect-dns\n"
        )
        for others in (("--redirect-dns",), (ALL, alone), (ALL, "--kuma-dp-user=0")):
            assert host.kumactl(*flags, *others).stderr == ""
