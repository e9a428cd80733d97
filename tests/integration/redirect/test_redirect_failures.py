"""Installing and uninstalling when a program fails, is killed, or is not alone: all of it or nothing."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from host_tables import (
    ALL,
    INSTALL,
    KUMACTL,
    NO_USER,
    by_hand,
    fake,
    ours,
    sidecar_address,
    tables,
)
from kumactl.redirect import lock_disk
from redirected_network import Host, network


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


def test_when_the_other_program_cannot_let_go_its_rules_stay_alone(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used.redirect("--backend=iptables-legacy", "--ip-family-mode=ipv4")
    before = tables(used)
    fake(
        tmp_path,
        "iptables-legacy-restore",
        FAILS_ONCE.format(how="echo no >&2", code=1).replace("$REAL", "/usr/sbin/$REAL"),
    )
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for backend in ("nft", "iptables-nft"):
        done = used.kumactl(*INSTALL, NO_USER, f"--backend={backend}", check=False)
        assert done.stderr.startswith("Error: iptables-legacy-restore failed: no; nothing was changed; ")
        assert tables(used) == before
        assert not sidecar_address(used)
        (tmp_path / "iptables-legacy-restore.failed").rmdir()


def test_rules_of_nft_are_put_back_too(used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    flags = (*INSTALL, NO_USER, "--backend=nft", "--redirect-outbound-port=2")
    assert used.kumactl(*flags, check=False).returncode == 1
    assert tables(used) == before


def test_when_one_program_cannot_let_go_the_other_ones_rules_are_back(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    untouched = tables(used)
    printed = used.kumactl(*INSTALL, NO_USER, ALL, "--dry-run", "--backend=iptables-nft").stdout
    by_hand(used, printed)
    by_hand(used, printed.replace("tables-nft-", "tables-legacy-").split("# ip -6")[0])
    before = tables(used)
    script = FAILS_ONCE.format(how="echo no >&2", code=1).replace("$REAL", "/usr/sbin/$REAL")
    fake(tmp_path, "iptables-legacy-restore", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    for command in (("uninstall", "transparent-proxy"), (*INSTALL, NO_USER, "--backend=nft")):
        done = used.kumactl(*command, check=False)
        assert done.stderr.startswith("Error: iptables-legacy-restore failed: no; nothing was changed")
        assert ("--backend" in done.stderr) == ("install" in command)
        assert tables(used) == before
        assert sidecar_address(used)
        (tmp_path / "iptables-legacy-restore.failed").rmdir()
    monkeypatch.undo()
    used.restore()
    assert tables(used) == untouched
    assert not sidecar_address(used)


KILLS = 'case "$*" in *--test*) exec $REAL "$@";; esac; kill -9 $PPID'


@pytest.mark.parametrize("kind", ["nft", "legacy"])
def test_whoever_was_killed_half_way_is_cleaned_up_after(used: Host, tmp_path: Path, kind: str) -> None:
    before = tables(used)
    killed = (*KUMACTL, *INSTALL, NO_USER, ALL, programs(tmp_path, KILLS, kind))
    for command in (("uninstall", "transparent-proxy"), (*INSTALL, NO_USER, f"--backend=iptables-{kind}")):
        assert used.run(*killed, check=False).returncode == -signal.SIGKILL
        assert ours(used) > 10
        used.kumactl(*command)
    assert "15053" not in tables(used)
    assert sidecar_address(used)
    killed = (*KUMACTL, *INSTALL, NO_USER, ALL, programs(tmp_path, KILLS, kind))
    assert used.run(*killed, check=False).returncode == -signal.SIGKILL
    used.restore()
    assert tables(used) == before
    assert not sidecar_address(used)


def test_only_one_at_a_time_changes_the_tables_of_a_network(host: Host) -> None:
    with host.inside(), lock_disk.alone(1):
        waited = host.run(*KUMACTL, *INSTALL, NO_USER, "--wait=1", check=False)
        assert waited.stderr.startswith("Error: another kumactl is changing the tables of this host; nothing")
        assert ours(host) == 0
        with network("other") as hosts:
            hosts["other"].run(*KUMACTL, *INSTALL, NO_USER, "--wait=1")
    host.redirect("--wait=1")


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
