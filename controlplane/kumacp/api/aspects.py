"""What can be asked of one resource beyond its body: paths below an item (contract 9.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_ASPECTS: Mapping[str, frozenset[str]] = {}
"""Paths below an item, by type of the resource."""


def aspect_of(type_name: str, rest: Sequence[str]) -> str | None:
    """The aspect that the path below an item names, None when there is none."""
    aspect = "/".join(rest)
    return aspect if aspect in _ASPECTS.get(type_name, ()) else None
