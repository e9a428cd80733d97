"""With which program the rules are applied, and what of the settings cannot be applied at all."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.transparent_proxy import exclusions
from kumamesh.transparent_proxy.config import Config
from kumamesh.transparent_proxy.rules import DNS_PORT

AUTO = "auto"
IPTABLES_NFT, IPTABLES_LEGACY, NFT = "iptables-nft", "iptables-legacy", "nft"
BACKENDS = (IPTABLES_NFT, IPTABLES_LEGACY, NFT)

CAP_NET_ADMIN = 12
NO_CAPABILITY = (
    "redirecting traffic takes the capability CAP_NET_ADMIN; run kumactl as root, with sudo for example, or "
    "see with --dry-run what it would do"
)
_VERSION = re.compile(r"^ip6?tables\S* v[0-9.]+(?: \((\w+)\))?", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A backend that is installed. `ours`: our rules are in it; `foreign`: so many rules of others;
    `default`: it is what the command iptables stands for."""

    name: str
    ours: bool = False
    foreign: int = 0
    default: bool = False


def backend_of(version: str) -> str:
    """The backend of an iptables that answers so to --version; "" when that is no iptables."""
    match = _VERSION.search(version)
    if match is None:
        return ""
    return IPTABLES_NFT if match[1] == "nf_tables" else IPTABLES_LEGACY


def choose(wish: str, candidates: Sequence[Candidate]) -> str:
    """The backend to use; raises UserError. Rules of both kinds of iptables in one host are hard to follow,
    so ours go where others are already."""
    names = [candidate.name for candidate in candidates]
    if wish != AUTO:
        if wish in names:
            return wish
        others = f"; this host has {', '.join(names)}" if names else ""
        raise UserError(f"{wish} is not installed{others}; install it, or leave --backend out")
    if not candidates:
        raise UserError(
            "neither iptables nor nft is installed; install one of them, such as with: apt install iptables"
        )
    return max(candidates, key=_rank).name


def refuse_impossible(config: Config) -> None:
    """Raises UserError for settings that Kuma knows and that cannot be applied here."""
    refusals = (
        (
            config.ebpf_enabled,
            "--ebpf-enabled: redirecting with eBPF is not possible; leave it out: iptables or nft does it",
        ),
        (
            config.store_firewalld,
            "--store-firewalld: firewalld's own configuration is not written; leave it out, and run this "
            "command again after firewalld was reloaded",
        ),
        (
            bool(config.inbound_exclude_uids),
            "redirect.inbound.excludePortsForUIDs: what comes from elsewhere has no uid; use "
            "redirect.inbound.excludePortsForIPs",
        ),
    )
    for impossible, reason in refusals:
        if impossible:
            raise UserError(reason, exit_code=EXIT_USAGE)


def leaves_alone(config: Config, uid: int, proxy: int) -> bool:
    """Whether what this user asks in DNS over UDP is not redirected to kuma-dp, which is the user `proxy`."""
    users = map(exclusions.uid_exclusion, config.outbound_exclude_uids)
    return uid == proxy or any(
        user.concerns("udp", DNS_PORT) and user.uids[0] <= uid <= user.uids[1] for user in users
    )


def may_change_tables(status: str) -> bool:
    """Whether a process with this /proc/self/status has CAP_NET_ADMIN."""
    match = re.search(r"^CapEff:\s*([0-9a-fA-F]+)", status, re.MULTILINE)
    return match is not None and bool(int(match[1], 16) >> CAP_NET_ADMIN & 1)


def _rank(candidate: Candidate) -> tuple[bool, bool, bool, bool]:
    iptables = candidate.name != NFT
    return candidate.ours, iptables and candidate.foreign > 0, iptables and candidate.default, iptables
