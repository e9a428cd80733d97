"""What the API tells about itself: types, policies, versions (contract 9.1; kuma-cp 8.2)."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kumamesh.resources.registry import TYPES, ResourceType
from kumamesh.resources.translate import is_field
from kumamesh.version import VERSION, compatible

Document = dict[str, Any]

_WORDS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_OF_ONE_ZONE = frozenset({"Dataplane", "Zone", "ZoneIngress", "ZoneEgress"})
"""What people write, but what is not given from a global control plane to all zones."""
_ENVOY_VERSIONS = ">=1.30.0"

Writes = Callable[[ResourceType], bool]
"""Whether the API takes writes of a type."""


def policies(writes: Writes) -> Document:
    """Every policy type, sorted by name."""
    return {
        "policies": [
            {
                "name": type_.name,
                "path": type_.path,
                "singularDisplayName": display_name(type_),
                "pluralDisplayName": plural(display_name(type_)),
                "readOnly": not writes(type_),
                "isExperimental": False,
                "isTargetRefBased": type_.nested_spec,
                "isInbound": _has(type_, "from") or _has(type_, "rules"),
                "isOutbound": _has(type_, "to"),
            }
            for type_ in _sorted()
            if type_.policy
        ]
    }


def resources(writes: Writes) -> Document:
    """Every type, sorted by name."""
    return {"resources": [_resource(type_, read_only=not writes(type_)) for type_ in _sorted()]}


def versions() -> Document:
    """Which kuma-dp may connect, and with which Envoy, as version ranges."""
    major, minor, _ = (int(part) for part in VERSION.split("."))
    around = (f"{major}.{near}.0" for near in range(max(0, minor - 4), minor + 5))
    near = [version for version in around if compatible(version, VERSION)]
    return {"kumaDp": {f"~{version}": {"envoy": _ENVOY_VERSIONS} for version in near}}


def display_name(type_: ResourceType) -> str:
    """`Mesh Traffic Permission`"""
    return _WORDS.sub(" ", type_.name)


def plural(name: str) -> str:
    """`Mesh Retries`, `Zone Egresses`, `Dataplanes`"""
    if name.endswith("y"):
        return f"{name[:-1]}ies"
    return f"{name}es" if name.endswith(("s", "sh", "S")) else f"{name}s"


def _resource(type_: ResourceType, *, read_only: bool) -> Document:
    described: Document = {
        "name": type_.name,
        "scope": "Mesh" if type_.mesh_scoped else "Global",
        "readOnly": read_only,
        "path": type_.path,
        "singularDisplayName": display_name(type_),
        "pluralDisplayName": plural(display_name(type_)),
        "includeInFederation": not type_.read_only and type_.name not in _OF_ONE_ZONE,
        "shortName": type_.short_name,
    }
    if type_.policy:
        described["policy"] = {
            "isTargetRef": type_.nested_spec,
            "hasToTargetRef": _has(type_, "to"),
            "hasFromTargetRef": _has(type_, "from"),
            "hasRulesTargetRef": _has(type_, "rules"),
            "isFromAsRules": False,
        }
    return described


def _has(type_: ResourceType, field: str) -> bool:
    return is_field(type_.spec, field)


def _sorted() -> list[ResourceType]:
    return [TYPES[name] for name in sorted(TYPES)]
