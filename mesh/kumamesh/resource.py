"""A mesh resource inside a process: identity, envelope and validated spec (kuma-cp 2.0)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, NamedTuple

NEVER = datetime(1, 1, 1, tzinfo=UTC)
"""The zero time of the wire, `0001-01-01T00:00:00Z`."""


class ResourceKey(NamedTuple):
    """Identity of a resource; `mesh` is "" for types of global scope."""

    type: str
    mesh: str
    name: str


@dataclass(frozen=True, slots=True)
class Resource:
    """One stored resource. `spec` is the frozen model of the type (kumamesh.resources).

    `version` counts writes, for optimistic concurrency; 0 means not stored yet.
    """

    key: ResourceKey
    spec: Any
    labels: Mapping[str, str] = field(default_factory=dict)
    creation_time: datetime = NEVER
    modification_time: datetime = NEVER
    version: int = 0

    @property
    def type(self) -> str:
        return self.key.type

    @property
    def mesh(self) -> str:
        return self.key.mesh

    @property
    def name(self) -> str:
        return self.key.name


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a resource: the path of the field and Kuma's text. `unknown`: the field is none of
    this version's, and no other thing is wrong with it."""

    field: str
    message: str
    unknown: bool = dataclass_field(default=False, compare=False)


MAX_VIOLATIONS = 200
"""Nobody reads more, and a resource of 10 MiB can have half a million."""


class InvalidResource(Exception):
    """A resource that breaks the rules of its type; nothing of it may be stored."""

    def __init__(self, violations: tuple[Violation, ...]) -> None:
        if len(violations) > MAX_VIOLATIONS:
            left = Violation("", f"and {len(violations) - MAX_VIOLATIONS} more")
            violations = (*violations[:MAX_VIOLATIONS], left)
        super().__init__("; ".join(f"{v.field}: {v.message}" for v in violations))
        self.violations = violations
