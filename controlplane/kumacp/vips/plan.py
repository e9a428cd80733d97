"""From what a mesh is to the document that keeps its addresses. Pure, and long for large meshes: it is run
beside the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kumacp.vips.allocation import allocate
from kumacp.vips.desired import Facts, desired
from kumacp.vips.entry import Reading, Releases, VipKey, Vips, read, render
from kumacp.vips.names import VipSettings, collisions
from kumacp.vips.virtual import Expansion
from kumacp.xds.model import Tags


@dataclass(frozen=True, slots=True)
class Held:
    """The addresses that a mesh has, and those that are kept for names it had: as entries once they were
    read, else as the text of the document."""

    text: str = ""
    vips: Vips | None = None
    released: Releases = field(default_factory=dict)


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class Plan:
    """`text` is the document that should be; `conflicts` are lines for people, by what they are about, as
    long as they last, `healed` what was wrong and is no more; `without` names have no address, because there
    are none left."""

    vips: Vips
    released: Releases
    text: str
    conflicts: Mapping[str, str]
    healed: tuple[str, ...]
    without: tuple[VipKey, ...]
    added: tuple[VipKey, ...]
    removed: tuple[VipKey, ...]
    expansions: Mapping[Tags, Expansion]

    @property
    def held(self) -> Held:
        """Once it is written."""
        return Held(self.text, self.vips, self.released)


def plan(
    facts: Facts,
    held: Held,
    settings: VipSettings,
    *,
    service_vips: bool = True,
    known: Mapping[Tags, Expansion] | None = None,
    now: int = 0,
) -> Plan:
    """`known` as in `desired`; `now`: seconds since 1970."""
    reading = read(held.text) if held.vips is None else Reading(held.vips, held.released, ())
    before = reading.vips
    wanted = desired(facts, service_vips=service_vips, known=known)
    found = allocate(wanted.entries, before, settings.cidr, released=reading.released, now=now)
    return Plan(
        vips=found.vips,
        released=found.released,
        text=render(found.vips, found.released),
        conflicts={**wanted.conflicts, **dict(collisions(found.vips.values(), settings.domain))},
        healed=(*reading.faults, *found.healed),
        without=found.without,
        added=tuple(key for key in found.vips if key not in before),
        removed=tuple(key for key in before if key not in found.vips),
        expansions=wanted.expansions,
    )
