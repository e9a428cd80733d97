"""`kumactl install transparent-proxy` and its undoing: all or nothing, ours alone, and one clear line."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from redirected_network import KUMA_DP_UID, Host, missing, network

LACKING = missing("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

BACKENDS = ("iptables-nft", "iptables-legacy", "nft")
ALL = "--redirect-all-dns-traffic"
INSTALL = ("install", "transparent-proxy")
NO_USER = "--config={cniMode: true}"

each_backend = pytest.mark.parametrize("backend", BACKENDS)

OTHERS = """*raw
-A PREROUTING -p udp -m udp --sport 99 -j CT --notrack
-A OUTPUT -p udp -m udp --dport 99 -j CT --notrack
COMMIT
*mangle
-A PREROUTING -p tcp -m tcp --dport 99 -j MARK --set-xmark 0x7/0xffffffff
COMMIT
*nat
:OTHER - [0:0]
-A PREROUTING -p tcp -m tcp --dport 99 -j OTHER
-A OUTPUT -p tcp -m tcp --dport 99 -m comment --comment "not ours, though KUMA_MESH_ is in it" -j OTHER
-A OUTPUT -p tcp -m tcp --dport 98 -j OTHER
-A OTHER -p tcp -m tcp --dport 99 -j REDIRECT --to-ports 9
COMMIT
"""


@pytest.fixture
def host() -> Iterator[Host]:
    with network("host") as hosts:
        yield hosts["host"]


@pytest.fixture
def used(host: Host) -> Host:
    """A host whose tables have rules of somebody else."""
    for command in ("iptables", "ip6tables"):
        for kind in ("nft", "legacy"):
            host.run(f"{command}-{kind}-restore", "--noflush", stdin=OTHERS)
    return host


def tables(host: Host) -> str:
    """All that is in them, without the times and what was counted."""
    saves = [f"{command}-{kind}-save" for command in ("iptables", "ip6tables") for kind in ("nft", "legacy")]
    texts = [_in_order(host.run(save).stdout) for save in saves]
    # iptables-nft-save knows only its own tables.
    ruleset = re.sub(r"packets \d+ bytes \d+ ?", "", host.run("nft", "list", "ruleset").stdout)
    return "".join(texts) + "".join(
        _chains_in_order(part) for part in re.split(r"^(?=table )", ruleset, flags=re.M)
    )


def _chains_in_order(table: str) -> str:
    """They are listed in the order in which they were made."""
    head, *chains = re.split(r"^\tchain ", table.removesuffix("}\n"), flags=re.M)
    return head + "".join(f"\tchain {chain.rstrip()}\n" for chain in sorted(chains))


def _in_order(saved: str) -> str:
    """The kernel lists tables in the order of their last use."""
    lines = "".join(f"{line}\n" for line in saved.splitlines() if not line.startswith("#"))
    parts = re.findall(r"\*.*?^COMMIT\n", lines, re.DOTALL | re.MULTILINE)
    return re.sub(r"\[\d+:\d+\]", "", "".join(sorted(parts)))


def ours(host: Host) -> int:
    return len(re.findall("(?i)kuma_mesh", tables(host)))


def sidecar_address(host: Host) -> bool:
    return "::6/128" in host.run("ip", "-6", "addr", "show", "dev", "lo").stdout


@each_backend
def test_uninstalling_leaves_what_was_there_before(used: Host, backend: str) -> None:
    before = tables(used)
    assert used.redirect(f"--backend={backend}", ALL, "--drop-invalid-packets").splitlines() == [
        f"# The traffic of this host is redirected with {backend} for IPv4 and IPv6; "
        "kuma-dp may now be run with --transparent-proxy"
    ]
    assert ours(used) > 10
    assert sidecar_address(used)
    assert used.restore() == f"# Nothing is redirected any more with {backend} for IPv4 and IPv6\n"
    assert tables(used) == before
    assert not sidecar_address(used)
    assert used.restore() == "# Nothing was redirected\n"


@each_backend
def test_uninstalling_does_not_mind_rules_that_came_later(host: Host, backend: str) -> None:
    host.redirect(f"--backend={backend}", ALL)
    kind = "legacy" if backend == "iptables-legacy" else "nft"
    host.run(
        f"iptables-{kind}", "-t", "nat", "-I", "OUTPUT", "1", "-p", "tcp", "--dport", "1", "-j", "ACCEPT"
    )
    host.run(f"iptables-{kind}", "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "--dport", "2", "-j", "ACCEPT")
    host.restore()
    assert ours(host) == 0
    saved = host.run(f"iptables-{kind}-save", "-t", "nat").stdout
    assert [line for line in saved.splitlines() if line.startswith("-A")] == [
        "-A OUTPUT -p tcp -m tcp --dport 1 -j ACCEPT",
        "-A OUTPUT -p tcp -m tcp --dport 2 -j ACCEPT",
    ]  # fmt: skip


@each_backend
def test_installing_again_is_no_change_and_other_settings_replace_it(used: Host, backend: str) -> None:
    used.redirect(f"--backend={backend}", ALL)
    first = tables(used)
    used.redirect(ALL)
    assert tables(used) == first
    used.redirect("--redirect-inbound=false", "--redirect-outbound-port=25001", "--ip-family-mode=ipv4")
    text = tables(used)
    assert "25001" in text
    assert "KUMA_MESH_OUTPUT" not in text.upper()
    assert "KUMA_MESH_INBOUND" not in text.upper()
    used.redirect(ALL)
    assert tables(used) == first


def test_another_program_takes_over_without_leaving_anything(used: Host) -> None:
    before = tables(used)
    for backend in (*BACKENDS, BACKENDS[0]):
        used.redirect(f"--backend={backend}", ALL)
    used.restore()
    assert tables(used) == before


def fake(folder: Path, name: str, script: str) -> str:
    """A program that stands for another one; $REAL is that."""
    path = folder / name
    path.write_text(f"#!/bin/sh\nREAL={name}\n{script}\n")
    path.chmod(0o755)
    return str(path)


def programs(folder: Path, script: str, kind: str) -> str:
    """Of which ip6tables-restore is a fake."""
    broken = fake(folder, f"ip6tables-{kind}-restore", script)
    names = {
        f"{command}{suffix}": f"/usr/sbin/{command}-{kind}{suffix}"
        for command in ("iptables", "ip6tables")
        for suffix in ("", "-save", "-restore")
    }
    names["ip6tables-restore"] = broken
    return "--iptables-executables=" + ",".join(f"{name}:{path}" for name, path in names.items())


FAILS_ONCE = (
    'case "$*" in *--test*) exec $REAL "$@";; esac; '
    'if mkdir "$0.failed" 2>/dev/null; then {how}; exit {code}; fi; exec $REAL "$@"'
)
"""When it counts; what it does afterwards is real."""


def test_when_the_other_program_cannot_let_go_its_rules_stay_alone(used: Host, tmp_path: Path) -> None:
    used.redirect("--backend=iptables-legacy", ALL)
    before = tables(used)
    fake(
        tmp_path,
        "iptables-legacy-restore",
        FAILS_ONCE.format(how="echo no >&2", code=1).replace("$REAL", "/usr/sbin/$REAL"),
    )
    path = f"PATH={tmp_path}:/usr/sbin:/usr/bin:/bin"
    command = (sys.executable, "-m", "kumactl", *INSTALL, NO_USER)
    for backend in ("nft", "iptables-nft"):
        done = used.run("env", path, *command, f"--backend={backend}", check=False)
        assert done.stderr.startswith("Error: iptables-legacy-restore failed: no; nothing was changed; ")
        assert tables(used) == before
        (tmp_path / "iptables-legacy-restore.failed").rmdir()


def test_rules_of_nft_are_put_back_too(used: Host, tmp_path: Path) -> None:
    texts = [
        used.kumactl(*INSTALL, NO_USER, ALL, "--vnet=br+:10.0.0.0/8", "--dry-run", "--backend=nft").stdout,
        used.kumactl(
            *INSTALL, NO_USER, "--dry-run", "--backend=iptables-legacy", "--ip-family-mode=ipv4"
        ).stdout,
    ]
    used.run("nft", "-f", "-", stdin=texts[0])
    used.run("iptables-legacy-restore", "--noflush", stdin=texts[1].split("# /usr/sbin/ip6tables")[0])
    before = tables(used)
    script = FAILS_ONCE.format(how="echo no >&2", code=1).replace("$REAL", "/usr/sbin/$REAL")
    fake(tmp_path, "iptables-legacy-restore", script)
    path = f"PATH={tmp_path}:/usr/sbin:/usr/bin:/bin"
    flags = (*INSTALL, NO_USER, "--backend=nft", "--redirect-outbound-port=2")
    assert used.run("env", path, sys.executable, "-m", "kumactl", *flags, check=False).returncode == 1
    assert tables(used) == before


def test_a_program_that_the_kernel_does_not_support_is_left_out(host: Host, tmp_path: Path) -> None:
    for name in ("iptables-nft-save", "nft"):
        fake(tmp_path, name, "echo no such protocol >&2; exit 1")
    path = f"PATH={tmp_path}:/usr/sbin:/usr/bin:/bin"
    command = (sys.executable, "-m", "kumactl", *INSTALL, NO_USER)
    done = host.run("env", path, *command)
    assert "with iptables-legacy for IPv4 and IPv6" in done.stdout
    assert done.stderr.splitlines() == [
        "WARNING: iptables-nft is left out: iptables-nft-save failed: no such protocol",
        "WARNING: nft is left out: nft failed: no such protocol",
    ]
    refused = host.run("env", path, *command, "--backend=nft", check=False)
    assert refused.stderr.splitlines()[-1].startswith(
        "Error: nft failed: no such protocol; nothing was changed"
    )


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_when_the_second_family_fails_nothing_is_left(used: Host, tmp_path: Path, kind: str) -> None:
    before = tables(used)
    script = FAILS_ONCE.format(how='echo "the kernel says no" >&2', code=1)
    done = used.kumactl(*INSTALL, NO_USER, ALL, programs(tmp_path, script, kind), check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        f"Error: ip6tables-{kind}-restore failed: the kernel says no; nothing was changed; "
        "--backend chooses another program\n"
    )
    assert tables(used) == before
    assert not sidecar_address(used)


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_when_the_second_family_fails_half_way_the_earlier_rules_are_back(
    used: Host, tmp_path: Path, kind: str
) -> None:
    used.redirect(f"--backend=iptables-{kind}", ALL, "--exclude-outbound-ports=1")
    before = tables(used)
    # The first tables are applied, and what follows is refused.
    script = FAILS_ONCE.format(how='sed "/^.nat/,$ d" | $REAL "$@"', code=1)
    flags = (programs(tmp_path, script, kind), "--redirect-outbound-port=2", "--drop-invalid-packets")
    assert used.kumactl(*INSTALL, NO_USER, *flags, check=False).returncode == 1
    assert tables(used) == before
    assert sidecar_address(used)


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ('echo "Another app is currently holding the xtables lock" >&2', 4),
        ("iptables-nft -t nat -A OUTPUT -p tcp --dport 7 -j ACCEPT; echo changed >&2", 1),
    ],
    ids=["locked", "changed meanwhile"],
)
def test_what_may_pass_is_tried_again(host: Host, tmp_path: Path, how: str, code: int) -> None:
    flags = (programs(tmp_path, FAILS_ONCE.format(how=how, code=code), "nft"), "--sleep-between-retries=10ms")
    host.kumactl(*INSTALL, NO_USER, *flags)
    saved = host.run("ip6tables-nft-save").stdout
    assert saved.count("-j KUMA_MESH_OUTBOUND") == 1
    host.restore()
    assert ours(host) == 0


def test_when_the_way_back_is_closed_too_it_is_told(host: Host, tmp_path: Path) -> None:
    host.redirect("--backend=iptables-nft")
    script = FAILS_ONCE.format(how='$REAL "$@"; sed -i "s/^case.*/exit 1/" "$0"', code=1)
    done = host.kumactl(
        *INSTALL, NO_USER, programs(tmp_path, script, "nft"), "--redirect-outbound-port=2", check=False
    )
    assert done.returncode == 1
    assert done.stderr.endswith(
        "what was changed could not be put back: remove the rest with kumactl uninstall transparent-proxy\n"
    )
    assert done.stderr.count("\n") == 1
    host.restore()
    assert ours(host) == 0


@each_backend
def test_a_dry_run_takes_no_root_and_prints_what_would_be_applied(host: Host, backend: str) -> None:
    before = tables(host)
    flags = (*INSTALL, NO_USER, ALL, f"--backend={backend}", "--dry-run")
    printed = host.kumactl(*flags, uid=KUMA_DP_UID)
    assert printed.stderr.startswith("WARNING: without CAP_NET_ADMIN")
    assert tables(host) == before
    assert host.kumactl(*flags).stdout == printed.stdout
    parts = re.split(r"^# (.*)\n", printed.stdout, flags=re.MULTILINE)[1:]
    for command, text in zip(parts[::2], parts[1::2], strict=True):
        host.run(*command.split(), stdin=text)
    applied = tables(host)
    host.redirect(ALL)
    assert tables(host) == applied
    removal = host.kumactl("uninstall", "transparent-proxy", "--dry-run").stdout
    assert tables(host) == applied
    parts = re.split(r"^# (.*)\n", removal, flags=re.MULTILINE)[1:]
    for command, text in zip(parts[::2], parts[1::2], strict=True):
        host.run(*command.split(), stdin=text)
    assert ours(host) == 0


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--kuma-dp-user=nobody-there",), "there is no user 'nobody-there' on this host; create"),
        (("--redirect-inbound-port=0",), "redirect.inbound.port is wrong: 0 is not a port from 1 to 65535"),
        (("--exclude-outbound-ips=10.0.0.0/64",), "'10.0.0.0/64' is neither an IP address nor a CIDR"),
        (("--exclude-inbound-ports=22,ssh",), "'ssh' is not a whole number"),
        ((NO_USER, "--redirect-dns", "--config-file=-"), "cannot read /none: No such file or directory"),
        (("--config=redirect: {dsn: {}}",), "--config: the configuration file has an unknown key redirect"),
        (("--config-file=/none",), "cannot read /none: No such file or directory"),
        (("--config-file=/",), "--config-file: / is a directory; name a file"),
        (("--config=-",), "use --config-file=- for stdin"),
        (("--ebpf-enabled",), "redirecting with eBPF is not possible; leave it out"),
        (("--store-firewalld",), "firewalld's own configuration is not written"),
        ((NO_USER, "--iptables-executables=iptables:/x"), "iptablesExecutables has only iptables; give"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_changes_nothing(host: Host, flags: tuple[str, ...], said: str) -> None:
    stdin = "redirect: {dns: {resolvConfigPath: /none}}"
    done = host.kumactl(*INSTALL, *flags, stdin=stdin, check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert ours(host) == 0


@pytest.mark.parametrize("command", [(*INSTALL, NO_USER), ("uninstall", "transparent-proxy")])
def test_without_the_capability_it_is_told(host: Host, command: tuple[str, ...]) -> None:
    done = host.kumactl(*command, uid=KUMA_DP_UID, check=False)
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


def without_programs(host: Host, folder: Path, *kept: str) -> str:
    """What kumactl says on a host that has none of the programs but those."""
    links = "".join(f'ln -s "$0/{program}" /usr/sbin/{program} && ' for program in kept)
    hide = f'mount --bind /usr/sbin "$0" && mount -t tmpfs none /usr/sbin && {links} exec "$@" 2>&1'
    kumactl = (sys.executable, "-m", "kumactl", *INSTALL, NO_USER)
    private = ("unshare", "--mount", "--propagation=private")
    return host.run(*private, "sh", "-c", hide, str(folder), *kumactl, check=False).stdout


def test_without_iptables_nft_is_used_and_without_both_it_is_told(host: Host, tmp_path: Path) -> None:
    assert without_programs(host, tmp_path) == (
        "Error: neither iptables nor nft is installed; install one of them, such as with: "
        "apt install iptables\n"
    )
    assert "is redirected with nft for IPv4 and IPv6" in without_programs(host, tmp_path, "nft")
    assert "table ip kuma_mesh" in tables(host)
