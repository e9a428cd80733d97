"""`kumactl install transparent-proxy` and its undoing: ours alone, idempotent, and as the dry run said."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest

from host_tables import (
    ALL,
    BACKENDS,
    INSTALL,
    KUMACTL,
    NO_USER,
    by_hand,
    fake,
    ours,
    sidecar_address,
    tables,
)
from redirected_network import KUMA_DP_UID, Host

each_backend = pytest.mark.parametrize("backend", BACKENDS)


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
    assert not sidecar_address(used)
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


@each_backend
def test_rules_without_comments_are_found_too(used: Host, backend: str) -> None:
    before = tables(used)
    used.redirect(f"--backend={backend}", ALL, "--disable-comments")
    assert "to the sidecar" not in tables(used)
    assert ours(used) > 10
    used.restore()
    assert tables(used) == before


@each_backend
def test_a_dry_run_takes_no_root_and_prints_what_would_be_applied(host: Host, backend: str) -> None:
    before = tables(host)
    flags = (*INSTALL, NO_USER, ALL, f"--backend={backend}", "--dry-run")
    printed = host.run(*KUMACTL, *flags, uid=KUMA_DP_UID)
    assert printed.stderr.startswith("WARNING: without CAP_NET_ADMIN")
    assert tables(host) == before
    assert host.kumactl(*flags).stdout == printed.stdout
    by_hand(host, printed.stdout)
    applied = tables(host)
    assert sidecar_address(host)
    host.redirect(ALL)
    assert tables(host) == applied
    removal = host.kumactl("uninstall", "transparent-proxy", "--dry-run").stdout
    assert tables(host) == applied
    by_hand(host, removal)
    assert ours(host) == 0
    assert not sidecar_address(host)


@pytest.mark.parametrize(("before", "after"), list(itertools.permutations(BACKENDS, 2)))
def test_what_a_dry_run_prints_is_what_is_applied_to_the_letter(
    used: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str, after: str
) -> None:
    used.redirect(f"--backend={before}", ALL)
    record = tmp_path / "record"
    logged = f'echo "# $0 $*" >> {record}; tee -a {record} | /usr/sbin/$REAL "$@"'
    for name in (
        "nft",
        *(f"{ip}tables-{kind}-restore" for ip in ("ip", "ip6") for kind in ("nft", "legacy")),
    ):
        fake(tmp_path, name, f'case "$*" in list*|*--test*) exec /usr/sbin/$REAL "$@";; esac; {logged}')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    flags = (*INSTALL, NO_USER, ALL, f"--backend={after}", "--ip-family-mode=ipv4")
    printed = used.kumactl(*flags, "--dry-run").stdout
    assert not record.exists()
    used.kumactl(*flags)
    address = "# ip -6 address delete ::6/128 dev lo\n"
    assert address in printed
    assert printed.replace(address, "") == record.read_text()
    assert not sidecar_address(used)
