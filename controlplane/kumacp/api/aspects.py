"""What can be asked of one resource beyond its body: paths below an item (contract 9.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from kumamesh.resources.registry import TYPES

_ENVOY = frozenset({"xds", "stats", "clusters"})
_DATAPLANE = frozenset({*_ENVOY, "_config", "policies", "rules", "_rules", "_policies", "_layout"})
# Kuma's client asks for the last one where it means the one before.
_POLICY = frozenset({"dataplanes", "_resources/dataplanes", "-resources/dataplanes"})
_ASPECTS: Mapping[str, frozenset[str]] = {
    "Dataplane": _DATAPLANE,
    "ZoneIngress": _ENVOY,
    "ZoneEgress": _ENVOY,
    **{type_.name: _POLICY for type_ in TYPES.values() if type_.policy},
}
"""Paths below an item, by type of the resource."""

_SECTIONS = ("_inbounds", "_outbounds")
_SECTION_TYPE = "Dataplane"


def aspect_of(type_name: str, rest: Sequence[str]) -> str | None:
    """The aspect that the path below an item names, None when there is none."""
    if any("/" in part for part in rest):  # was %2F, which separates nothing
        return None
    aspect = "/".join(rest)
    if type_name == _SECTION_TYPE and section_of(aspect) is not None:
        return aspect
    return aspect if aspect in _ASPECTS.get(type_name, ()) else None


def section_of(aspect: str) -> tuple[str, str] | None:
    """(`_inbounds` or `_outbounds`, identifier) of an aspect that is about a part of a Dataplane."""
    parts = aspect.split("/")
    if len(parts) == 3 and parts[0] in _SECTIONS and parts[1] and parts[2] == "_policies":
        return parts[0], parts[1]
    return None
