"""The rules for iptables-restore(8), which both backends of iptables read, and what of them is there already.

One text brings the tables from what they are to what they shall be: it installs, replaces, removes, and takes
back. Nobody else's rule is named in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from kumamesh.transparent_proxy.exclusions import Range
from kumamesh.transparent_proxy.rules import (
    COMMENT,
    PREFIX,
    TABLES,
    Chain,
    Drop,
    Log,
    Match,
    Redirect,
    Return,
    Rule,
    Zone,
)

_RULE = re.compile(r"-A (\S+) (.+)")
_COMMENTED = re.compile(r'--comment ("(?:[^"\\]|\\.)*"|\S+)')


@dataclass(frozen=True, slots=True)
class Hook:
    """Our rule in a chain of the host, at this place counted from 1; 0 is behind all others."""

    chain: str
    place: int
    rule: str


@dataclass(frozen=True, slots=True)
class Table:
    """What is ours in a table: chains with their rules, and the hooks in order."""

    chains: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    hooks: tuple[Hook, ...] = ()


Tables = Mapping[str, Table]
"""By name; those without anything of ours may be missing."""


@dataclass(frozen=True, slots=True)
class Saved:
    """What iptables-save showed of a family. `foreign` counts the rules of others."""

    ours: Tables = field(default_factory=dict)
    foreign: int = 0


def wanted(chains: Sequence[Chain]) -> dict[str, Table]:
    """The chains as tables."""
    return {name: _table([chain for chain in chains if chain.table == name]) for name in TABLES}


def restore_text(current: Tables, target: Tables) -> str:
    """For `iptables-restore --noflush`; empty when there is nothing to do."""
    return "".join(
        f"{line}\n"
        for name in TABLES
        for line in _steps(name, current.get(name, Table()), target.get(name, Table()))
    )


def parse_saved(text: str) -> Saved:
    """Read the output of iptables-save."""
    tables: dict[str, tuple[dict[str, list[str]], list[Hook]]] = {}
    chains, hooks = tables.setdefault("", ({}, []))
    places: dict[str, int] = {}
    foreign = 0
    for line in text.splitlines():
        if line.startswith("*"):
            chains, hooks = tables.setdefault(line[1:].strip(), ({}, []))
            places = {}
        elif line.startswith(f":{PREFIX}"):
            chains[line[1:].split()[0]] = []
        elif found := _RULE.fullmatch(line):
            chain, rule = found.groups()
            places[chain] = places.get(chain, 0) + 1
            if chain.startswith(PREFIX):
                chains.setdefault(chain, []).append(rule)
            elif _is_ours(rule):
                hooks.append(Hook(chain, places[chain], rule))
            else:
                foreign += 1
    ours = {
        name: Table({chain: tuple(rules) for chain, rules in chains.items()}, tuple(hooks))
        for name, (chains, hooks) in tables.items()
        if chains or hooks
    }
    return Saved(ours, foreign)


def _is_ours(rule: str) -> bool:
    comments = (comment.strip('"') for comment in _COMMENTED.findall(rule))
    return any(text.startswith(f"{COMMENT}/") for text in comments) or (
        f"-j {PREFIX}" in _COMMENTED.sub("", rule)
    )


def _table(chains: Sequence[Chain]) -> Table:
    hooks = []
    places: dict[str, int] = {}
    for chain in chains:
        place = 0
        if chain.first:
            place = places[chain.hook] = places.get(chain.hook, 0) + 1
        protocol = f"-p {chain.protocol} " if chain.protocol else ""
        hooks.append(Hook(chain.hook, place, f"{protocol}{_comment(chain.why)}-j {chain.name}"))
    return Table({chain.name: tuple(_rule(rule) for rule in chain.rules) for chain in chains}, tuple(hooks))


def _steps(name: str, current: Table, target: Table) -> Iterator[str]:
    if not (current.chains or current.hooks or target.chains or target.hooks):
        return
    yield f"*{name}"
    for chain in target.chains:
        # This makes a chain, and empties one that is there.
        yield f":{chain} - [0:0]"
    for hook in current.hooks:
        yield f"-D {hook.chain} {hook.rule}"
    obsolete = [chain for chain in current.chains if chain not in target.chains]
    yield from (f"-F {chain}" for chain in obsolete)
    yield from (f"-X {chain}" for chain in obsolete)
    for chain, rules in target.chains.items():
        yield from (f"-A {chain} {rule}" for rule in rules)
    for hook in target.hooks:
        yield f"-I {hook.chain} {hook.place} {hook.rule}" if hook.place else f"-A {hook.chain} {hook.rule}"
    yield "COMMIT"


def _rule(rule: Rule) -> str:
    matches = "".join(f"{part} " for part in _match(rule.match))
    return f"{matches}{_comment(rule.why)}{_verdict(rule.verdict)}"


def _comment(text: str) -> str:
    return f'-m comment --comment "{COMMENT}/{text}" ' if text else ""


def _match(match: Match) -> Iterator[str]:
    if match.interface:
        yield f"-i {match.interface}"
    if match.loopback:
        yield "-o lo"
    if match.source:
        yield f"-s {match.source}"
    if match.destination:
        yield f"-d {match.destination}"
    if match.outside:
        yield f"! -d {match.outside}"
    if match.protocol:
        yield f"-p {match.protocol}"
    if match.opening:
        yield "--syn"
    if len(match.ports) == 1:
        yield f"--dport {_range(match.ports[0], ':')}"
    elif match.ports:
        yield f"-m multiport --dports {','.join(_range(span, ':') for span in match.ports)}"
    if match.source_port:
        yield f"--sport {match.source_port}"
    if match.uids:
        yield f"-m owner --uid-owner {_range(match.uids, '-')}"
    if match.invalid:
        yield "-m conntrack --ctstate INVALID"


def _verdict(verdict: Return | Drop | Redirect | Zone | Log) -> str:
    match verdict:
        case Return():
            return "-j RETURN"
        case Drop():
            return "-j DROP"
        case Redirect(port):
            return f"-j REDIRECT --to-ports {port}"
        case Zone(number):
            return f"-j CT --zone {number}"
        case Log(prefix, level):
            return f"-j LOG --log-prefix {prefix} --log-level {level}"


def _range(span: Range, between: str) -> str:
    first, last = span
    return str(first) if first == last else f"{first}{between}{last}"
