"""Rules of a Zone on a global control plane, and of what zones know of each other (kuma-cp 1.7, 2.4, 6.7)."""

from __future__ import annotations

from kumacp.manager.labels import GLOBAL, origin
from kumacp.mode import is_zone_name
from kumamesh.resource import Resource, Violation
from kumamesh.resources.insight import ZoneInsight

_CONNECTED = "unable to delete Zone, Zone CP is still connected, please shut it down first"
_NO_NAME = "must be at most 63 lower-case letters, digits, dashes and dots: no zone can have another name"


def name_violations(name: str) -> tuple[Violation, ...]:
    """A Zone whose name no control plane can have would never be connected."""
    return () if is_zone_name(name) else (Violation("name", _NO_NAME),)


def stranger_violations(old: Resource) -> tuple[Violation, ...]:
    """A proxy of the zone has the name under which that of another zone is known here."""
    if origin(old.labels) != GLOBAL:
        return ()
    return (Violation("name", f'"{old.name}" is a {old.type} of another zone; choose another name'),)


def delete_violations(insight: ZoneInsight | None) -> tuple[Violation, ...]:
    """A zone that is connected would be there again at once. Whether it is enabled does not count."""
    return (Violation("zone", _CONNECTED),) if insight is not None and insight.online else ()
