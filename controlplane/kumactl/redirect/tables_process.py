"""The tables of this host, by iptables of either kind or by nft: read, tried, changed, and put back."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kumactl.redirect.choice import BACKENDS, NFT, Candidate, backend_of
from kumactl.redirect.program_process import ProgramError, find, run
from kumamesh.errors import UserError
from kumamesh.transparent_proxy import iptables_text, nft_text
from kumamesh.transparent_proxy.iptables_text import Saved
from kumamesh.transparent_proxy.rules import Chain

_REPAIR = "remove the rest with kumactl uninstall transparent-proxy"
PROGRAMS = {4: "iptables", 6: "ip6tables"}
Wanted = Mapping[int, Sequence[Chain]]
"""Chains by family; a family without chains shall have none."""


@dataclass(frozen=True, slots=True)
class State:
    """What was found. `families`: those in which something of ours is; by iptables it is in `saved`, by nft
    in `listing`."""

    families: frozenset[int] = frozenset()
    saved: Mapping[int, Saved] = field(default_factory=dict)
    listing: str = ""

    @property
    def foreign(self) -> int:
        return sum(saved.foreign for saved in self.saved.values())


class Tables(Protocol):
    """A backend."""

    name: str
    default: bool
    families: frozenset[int]
    """Those that it can change."""

    def read(self) -> State: ...

    def texts(self, before: State, wanted: Wanted) -> dict[str, str]:
        """What would be given to which command, in order."""

    def change(self, before: State, wanted: Wanted) -> None:
        """All of it, or nothing and ProgramError."""

    def put_back(self, before: State) -> None:
        """Ours as they were found then."""


class Iptables:
    """`paths` by family and by `""`, `-save`, `-restore`."""

    def __init__(
        self, name: str, paths: Mapping[int, Mapping[str, str]], *, wait_s: int, default: bool
    ) -> None:
        self.name = name
        self.default = default
        self.families = frozenset(paths)
        self._paths = paths
        self._wait = ["--wait", *([str(wait_s)] if wait_s else [])]

    def read(self) -> State:
        saved = {
            family: iptables_text.parse_saved(run([paths["-save"]])) for family, paths in self._paths.items()
        }
        return State(frozenset(family for family, found in saved.items() if found.ours), saved)

    def texts(self, before: State, wanted: Wanted) -> dict[str, str]:
        return {" ".join(self._restore(family)): text for family, text in self._texts(before, wanted)}

    def change(self, before: State, wanted: Wanted) -> None:
        texts = self._texts(before, wanted)
        for family, text in texts:
            run([*self._restore(family), "--test"], text)
        try:
            for family, text in texts:
                run(self._restore(family), text)
        except BaseException as error:
            self.put_back(before)
            if isinstance(error, ProgramError):
                # Somebody else changed them between our reading and writing.
                error.passing = error.passing or self.read() != before
            raise

    def put_back(self, before: State) -> None:
        try:
            now = self.read()
            for family in sorted(self.families):
                ours, old = _ours(now, family), _ours(before, family)
                if ours != old:
                    run(self._restore(family), iptables_text.restore_text(ours, old))
        except ProgramError as error:
            raise UserError(f"{error}; and what was changed could not be put back: {_REPAIR}") from None

    def _texts(self, before: State, wanted: Wanted) -> list[tuple[int, str]]:
        texts = (
            (
                family,
                iptables_text.restore_text(
                    _ours(before, family), iptables_text.wanted(wanted.get(family, ()))
                ),
            )
            for family in sorted(self.families)
        )
        return [(family, text) for family, text in texts if text]

    def _restore(self, family: int) -> list[str]:
        return [self._paths[family]["-restore"], "--noflush", *self._wait]


class Nft:
    """nft alone, with tables of our own."""

    name = NFT
    default = False

    def __init__(self, path: str, families: frozenset[int]) -> None:
        self.families = families
        self._path = path

    def read(self) -> State:
        tables = run([self._path, "list", "tables"]).splitlines()
        own = {
            family: f"table {name} {nft_text.TABLE}"
            for family, name in nft_text.FAMILIES.items()
            if f"table {name} {nft_text.TABLE}" in tables
        }
        listing = "".join(run([self._path, "list", *table.split()]) for table in own.values())
        return State(frozenset(own), listing=listing)

    def texts(self, before: State, wanted: Wanted) -> dict[str, str]:
        if any(wanted.values()):
            text = nft_text.install_text({family: wanted.get(family, ()) for family in sorted(self.families)})
        else:
            text = nft_text.removal_text(sorted(before.families))
        return {f"{self._path} -f -": text} if text else {}

    def change(self, before: State, wanted: Wanted) -> None:
        for text in self.texts(before, wanted).values():
            # One transaction: all of it or nothing.
            run([self._path, "-f", "-"], text)

    def put_back(self, before: State) -> None:
        run([self._path, "-f", "-"], nft_text.removal_text(sorted(self.families)) + before.listing)


def installed(custom: Mapping[str, str], *, ipv6: bool, wait_s: int) -> list[Tables]:
    """What there is on this host, or only what was named; of iptables, those that can do IPv4."""
    if custom:
        path = custom.get("iptables") or find("iptables")
        name = _backend(path)
        if not name:
            raise UserError(
                f"{path or 'iptables'} is no iptables that can be run; correct iptablesExecutables"
            )
        found = [_iptables(name, custom, ipv6=ipv6, wait_s=wait_s, default=True)]
        return [tables for tables in found if tables]
    default = _backend(find("iptables"))
    found = [
        _iptables(name, {}, ipv6=ipv6, wait_s=wait_s, default=name == default)
        for name in BACKENDS
        if name != NFT
    ]
    nft = find("nft")
    return [
        *(tables for tables in found if tables),
        *([Nft(nft, frozenset((4, 6) if ipv6 else (4,)))] if nft else []),
    ]


def candidate(tables: Tables, state: State) -> Candidate:
    return Candidate(tables.name, bool(state.families), state.foreign, tables.default)


def _iptables(
    name: str, custom: Mapping[str, str], *, ipv6: bool, wait_s: int, default: bool
) -> Iptables | None:
    families = {family: program for family, program in PROGRAMS.items() if family == 4 or ipv6}
    paths = {family: _paths(name, program, custom) for family, program in families.items()}
    complete = {family: found for family, found in paths.items() if all(found.values())}
    return Iptables(name, complete, wait_s=wait_s, default=default) if 4 in complete else None


def _paths(name: str, program: str, custom: Mapping[str, str]) -> dict[str, str]:
    """`iptables-nft-save` and the like, or the plain name where that is of this kind."""
    if program in custom:
        return {suffix: custom[f"{program}{suffix}"] for suffix in ("", "-save", "-restore")}
    kind = name.removeprefix("iptables")
    plain_fits = _backend(find(program)) == name
    return {
        suffix: find(f"{program}{kind}{suffix}") or (find(f"{program}{suffix}") if plain_fits else "")
        for suffix in ("", "-save", "-restore")
    }


@functools.cache
def _backend(path: str) -> str:
    if not path:
        return ""
    try:
        return backend_of(run([path, "--version"]))
    except ProgramError:
        return ""


def _ours(state: State, family: int) -> iptables_text.Tables:
    found = state.saved.get(family)
    return found.ours if found else {}
