"""From what a mesh is to the document that keeps its addresses. Pure, and long for large meshes: it is run
beside the event loop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kumacp.vips.allocation import allocate
from kumacp.vips.desired import Facts, desired
from kumacp.vips.entry import Reading, VipKey, Vips, read, render
from kumacp.vips.names import VipSettings, collisions
from kumacp.vips.virtual import Expansion
from kumacp.xds.model import Tags


@dataclass(frozen=True, slots=True)
class Held:
    """The addresses that a mesh has: as entries once they were read, else as the text of the document."""

    text: str = ""
    vips: Vips | None = None


NOTHING = Held()


@dataclass(frozen=True, slots=True)
class Plan:
    """`text` is the document that should be; `conflicts` and `healed` are lines for people, the first as
    long as they last; `without` names have no address, because there are none left."""

    vips: Vips
    text: str
    conflicts: tuple[str, ...]
    healed: tuple[str, ...]
    without: tuple[VipKey, ...]
    added: tuple[VipKey, ...]
    removed: tuple[VipKey, ...]
    expansions: Mapping[Tags, Expansion]


def plan(
    facts: Facts,
    held: Held,
    settings: VipSettings,
    *,
    service_vips: bool = True,
    known: Mapping[Tags, Expansion] | None = None,
) -> Plan:
    """`known` as in `desired`."""
    reading = read(held.text) if held.vips is None else Reading(held.vips, ())
    before = reading.vips
    wanted = desired(facts, service_vips=service_vips, known=known)
    found = allocate(wanted.entries, before, settings.cidr)
    return Plan(
        vips=found.vips,
        text=render(found.vips),
        conflicts=(*wanted.conflicts, *collisions(found.vips.values(), settings.domain)),
        healed=(*reading.faults, *found.healed),
        without=found.without,
        added=tuple(key for key in found.vips if key not in before),
        removed=tuple(key for key in before if key not in found.vips),
        expansions=wanted.expansions,
    )
