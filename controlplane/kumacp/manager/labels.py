"""Labels that the control plane adds to resources, and which of them nobody may choose (contract 9.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from kumamesh import names
from kumamesh.resource import InvalidResource, Resource, Violation

GLOBAL, ZONE = "global", "zone"
"""Values of kuma.io/origin: the kind of control plane where a resource was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this control plane is."""

    zone: str
    environment: str


def labelled(resource: Resource) -> Resource:
    """With the mesh as a label, where there is one: selectors and Kubernetes objects find it there."""
    return _with(resource, {})


def of_global(resource: Resource) -> Resource:
    """With what zones must know of a resource of the global control plane; raises InvalidResource when it
    claims to be of somewhere else."""
    computed = {names.ORIGIN_LABEL: GLOBAL, names.DISPLAY_NAME_LABEL: resource.name}
    violations = [*_others(resource.labels, computed)]
    if names.ZONE_LABEL in resource.labels:
        text = "is set on resources that come from a zone; remove it"
        violations.append(Violation(_path(names.ZONE_LABEL), text))
    if violations:
        raise InvalidResource(tuple(violations))
    return _with(resource, computed)


def of_zone(resource: Resource, place: Place, computed: Mapping[str, str]) -> Resource:
    """With what others must know of a resource of the zone, and `computed`; raises InvalidResource when it
    claims to be of somewhere else."""
    fixed = {names.ORIGIN_LABEL: ZONE, names.ZONE_LABEL: place.zone}
    if violations := tuple(_others(resource.labels, fixed)):
        raise InvalidResource(violations)
    more = {names.DISPLAY_NAME_LABEL: resource.name, names.ENV_LABEL: place.environment}
    return _with(resource, {**more, **computed, **fixed})


def origin(labels: Mapping[str, str]) -> str:
    """`global`, `zone`, or "" when nobody said: then it was written here."""
    return labels.get(names.ORIGIN_LABEL, "")


def _others(given: Mapping[str, str], computed: Mapping[str, str]) -> Iterator[Violation]:
    """What is given in the place of what is computed."""
    for label, value in computed.items():
        if given.get(label, value) == value:
            continue
        if label == names.ORIGIN_LABEL:
            yield Violation(_path(label), f"the origin label must be set to '{value}'")
        else:
            yield Violation(_path(label), f"must be {value!r}, which is set by this control plane")


def _with(resource: Resource, computed: Mapping[str, str]) -> Resource:
    mesh = {names.MESH_LABEL: resource.mesh} if resource.mesh else {}
    if not (mesh or computed):
        return resource
    return replace(resource, labels={**resource.labels, **computed, **mesh})


def _path(label: str) -> str:
    return f'labels["{label}"]'
