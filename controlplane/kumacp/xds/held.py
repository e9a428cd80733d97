"""What a view remembers of resources, by their names."""

from __future__ import annotations

from typing import TypeVar

from kumamesh.resource import Resource

V = TypeVar("V")


def put(held: dict[str, V], name: str, value: V | None) -> None:
    """None takes it away."""
    if value is None:
        held.pop(name, None)
    else:
        held[name] = value


def same(one: Resource | None, other: Resource | None) -> bool:
    """Whether nothing that configuration depends on differs; times of writing and versions do not count."""
    if one is None or other is None:
        return one is other
    return one.spec == other.spec and one.labels == other.labels and one.creation_time == other.creation_time
