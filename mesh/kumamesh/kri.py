"""Kuma's resource identifiers, `kri_<short>_<mesh>_<zone>_<namespace>_<name>_<section>` (contract 5.2)."""

from __future__ import annotations

from collections.abc import Iterable

from kumamesh.names import DISPLAY_NAME_LABEL, NAMESPACE_LABEL, ZONE_LABEL
from kumamesh.resource import Resource
from kumamesh.resources.registry import TYPES, ResourceType

_BY_SHORT_NAME = {type_.short_name: type_ for type_ in TYPES.values() if type_.short_name}


def kri_of(resource: Resource, section: str = "") -> str:
    """The identifier of a resource or of a part of it; "" for a type that has no short name."""
    short = TYPES[resource.type].short_name
    if not short:
        return ""
    labels = resource.labels
    name = labels.get(DISPLAY_NAME_LABEL, resource.name)
    place = f"{labels.get(ZONE_LABEL, '')}_{labels.get(NAMESPACE_LABEL, '')}"
    return f"kri_{short}_{resource.mesh}_{place}_{name}_{section}"


def type_of_kri(kri: str) -> ResourceType:
    """The type that an identifier names; raises ValueError with the reason."""
    parts = kri.split("_")
    if len(parts) < 7 or parts[0] != "kri":
        raise ValueError("an identifier has the form kri_<type>_<mesh>_<zone>_<namespace>_<name>_<section>")
    if parts[1] not in _BY_SHORT_NAME:
        known = ", ".join(sorted(_BY_SHORT_NAME))
        raise ValueError(f'"{parts[1]}" is not the short name of a type; known are {known}')
    return _BY_SHORT_NAME[parts[1]]


def find_by_kri(kri: str, resources: Iterable[Resource]) -> Resource | None:
    """The resource that the identifier, or that of one of its sections, belongs to.

    Compared and not taken apart: names of meshes and resources may have underscores.
    """
    owners = [(kri_of(resource), resource) for resource in resources]
    fitting = [(base, resource) for base, resource in owners if base and kri.startswith(base)]
    return max(fitting, key=lambda pair: len(pair[0]))[1] if fitting else None
