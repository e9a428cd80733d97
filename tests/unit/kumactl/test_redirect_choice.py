"""Which program changes the tables, and what is refused."""

from __future__ import annotations

import pytest

from kumactl.redirect.choice import (
    AUTO,
    IPTABLES_LEGACY,
    IPTABLES_NFT,
    NFT,
    Candidate,
    backend_of,
    choose,
    leaves_alone,
    may_change_tables,
    refuse_impossible,
)
from kumamesh.errors import UserError
from kumamesh.transparent_proxy.config import resolved

LEGACY, NEW, NATIVE = (Candidate(name) for name in (IPTABLES_LEGACY, IPTABLES_NFT, NFT))


@pytest.mark.parametrize(
    ("version", "backend"),
    [
        ("iptables v1.8.9 (nf_tables)\n", IPTABLES_NFT),
        ("ip6tables v1.8.9 (legacy)\n", IPTABLES_LEGACY),
        ("iptables v1.6.1\n", IPTABLES_LEGACY),
        ("nftables v1.0.6 (Lester Gooch #5)\n", ""),
        ("", ""),
    ],
)
def test_the_version_tells_the_kind(version: str, backend: str) -> None:
    assert backend_of(version) == backend


@pytest.mark.parametrize(
    ("candidates", "chosen"),
    [
        ([NATIVE], NFT),
        ([LEGACY, NATIVE], IPTABLES_LEGACY),
        ([NEW, Candidate(IPTABLES_LEGACY, default=True), NATIVE], IPTABLES_LEGACY),
        ([Candidate(IPTABLES_NFT, default=True), Candidate(IPTABLES_LEGACY, foreign=1)], IPTABLES_LEGACY),
        ([Candidate(IPTABLES_NFT, foreign=9, default=True), Candidate(NFT, ours=True)], NFT),
    ],
)
def test_ours_go_where_rules_are(candidates: list[Candidate], chosen: str) -> None:
    assert choose(AUTO, candidates) == chosen


def test_a_wish_is_granted_or_told_why_not() -> None:
    assert choose(NFT, [NEW, NATIVE]) == NFT
    with pytest.raises(
        UserError, match="iptables-legacy is not installed; this host has iptables-nft, nft; "
    ):
        choose(IPTABLES_LEGACY, [NEW, NATIVE])
    with pytest.raises(UserError, match="neither iptables nor nft is installed; install one of them"):
        choose(AUTO, [])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"ebpf": {"enabled": True}}, "--ebpf-enabled: "),
        ({"storeFirewalld": True}, "--store-firewalld: "),
        ({"redirect": {"inbound": {"excludePortsForUIDs": ["1"]}}}, "what comes from elsewhere has no uid"),
    ],
)
def test_what_cannot_be_done_is_refused(document: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        refuse_impossible(resolved(document).settings)


def test_everything_else_is_not_refused() -> None:
    refuse_impossible(resolved({"ebpf": {"instanceIP": "1.2.3.4"}, "cniMode": True}).settings)


@pytest.mark.parametrize(
    ("status", "may"),
    [("Name:\tx\nCapEff:\t0000000000001000\n", True), ("CapEff:\t0000000000000fff\n", False), ("", False)],
)
def test_the_capability_is_read(status: str, may: bool) -> None:
    assert may_change_tables(status) is may


@pytest.mark.parametrize(
    ("exclusions", "uid", "alone"),
    [
        ([], 5678, True),
        ([], 101, False),
        (["53:101"], 101, True),
        (["udp:1-100:100-102", "7"], 101, True),
        (["tcp:53:101"], 101, False),
        (["54:101"], 101, False),
        (["53:102"], 101, False),
        (["53:100"], 101, False),
        (["101"], 101, True),
    ],
)
def test_whose_dns_is_not_redirected(exclusions: list[str], uid: int, alone: bool) -> None:
    config = resolved({"redirect": {"outbound": {"excludePortsForUIDs": exclusions}}}).settings
    assert leaves_alone(config, uid, 5678) is alone
