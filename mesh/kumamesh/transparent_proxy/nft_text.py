"""The rules for nft(8): a table in each family, all of it replaced in one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from kumamesh.transparent_proxy.exclusions import Range
from kumamesh.transparent_proxy.rules import (
    MANGLE,
    NAT,
    RAW,
    Chain,
    Drop,
    Log,
    Match,
    Redirect,
    Return,
    Rule,
    Zone,
)

TABLE = "kuma_mesh"
FAMILIES = {4: "ip", 6: "ip6"}
_PRIORITIES = {RAW: -300, MANGLE: -150}
_BEFORE_HOST, _AFTER_HOST = -110, -95
"""iptables has its nat chains at -100. Of chains with equal priorities the last one made would come first."""
_LEVELS = ("emerg", "alert", "crit", "err", "warn", "notice", "info", "debug")


def install_text(chains: Mapping[int, Sequence[Chain]]) -> str:
    """For `nft -f`: the tables of these families, in place of what was there of ours."""
    lines = list(_removal(chains))
    for family, members in chains.items():
        if members:
            lines += [f"table {FAMILIES[family]} {TABLE} {{", *_chains(members, FAMILIES[family]), "}"]
    return "".join(f"{line}\n" for line in lines)


def removal_text(families: Iterable[int]) -> str:
    """For `nft -f`: our tables of these families away, whether they are there or not."""
    return "".join(f"{line}\n" for line in _removal(families))


def _removal(families: Iterable[int]) -> Iterator[str]:
    for family in families:
        # What does not exist cannot be deleted, but can be added without harm.
        yield f"add table {FAMILIES[family]} {TABLE}"
        yield f"delete table {FAMILIES[family]} {TABLE}"


def _chains(chains: Sequence[Chain], family: str) -> Iterator[str]:
    for place, chain in enumerate(chains):
        kind = "nat" if chain.table == NAT else "filter"
        priority = _PRIORITIES.get(chain.table, _BEFORE_HOST + place if chain.first else _AFTER_HOST)
        yield f"  chain {chain.name.lower()} {{"
        yield f"    type {kind} hook {chain.hook.lower()} priority {priority}; policy accept;"
        for rule in chain.rules:
            yield f"    {_rule(rule, chain.protocol, family)}"
        yield "  }"


def _rule(rule: Rule, protocol: str, family: str) -> str:
    comment = [f'comment "{rule.why}"'] if rule.why else []
    return " ".join([*_match(rule.match, protocol, family), _verdict(rule.verdict), *comment])


def _match(match: Match, protocol: str, family: str) -> Iterator[str]:
    if match.interface:
        yield f'iifname "{match.interface.replace("+", "*")}"'
    if match.loopback:
        yield 'oifname "lo"'
    if match.uids:
        yield f"meta skuid {_range(match.uids)}"
    if match.source:
        yield f"{family} saddr {match.source}"
    if match.destination:
        yield f"{family} daddr {match.destination}"
    if match.outside:
        yield f"{family} daddr != {match.outside}"
    if match.ports:
        yield f"{match.protocol} dport {{ {', '.join(map(_range, match.ports))} }}"
    elif match.source_port:
        yield f"{match.protocol} sport {match.source_port}"
    elif (match.protocol or protocol) and not match.opening:
        yield f"meta l4proto {match.protocol or protocol}"
    if match.opening:
        yield "tcp flags & (fin | syn | rst | ack) == syn"
    if match.invalid:
        yield "ct state invalid"


def _verdict(verdict: Return | Drop | Redirect | Zone | Log) -> str:
    match verdict:
        case Return():
            return "return"
        case Drop():
            return "drop"
        case Redirect(port):
            return f"redirect to :{port}"
        case Zone(number):
            return f"ct zone set {number} return"
        case Log(prefix, level):
            return f'log prefix "{prefix}" level {_LEVELS[level]}'


def _range(span: Range) -> str:
    first, last = span
    return str(first) if first == last else f"{first}-{last}"
