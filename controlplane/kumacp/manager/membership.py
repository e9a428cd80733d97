"""Who may join a mesh: Mesh.constraints.dataplaneProxy (kuma-cp 2.1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from kumamesh.resource import Violation
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.mesh import ConstraintRule, Mesh


def violations(mesh_name: str, mesh: Mesh, dataplane: Dataplane) -> tuple[Violation, ...]:
    """Every tag set of the proxy must match one of the requirements, if there are any, and no restriction."""
    rules = mesh.constraints.dataplane_proxy
    found = []
    for path, tags in _tag_sets(dataplane):
        if rules.requirements and not any(_matches(rule, tags) for rule in rules.requirements):
            found.append(
                Violation(path, f'mesh "{mesh_name}" admits only proxies that match one of its requirements')
            )
        for rule in rules.restrictions:
            if _matches(rule, tags):
                found.append(Violation(path, f'mesh "{mesh_name}" refuses proxies tagged {_show(rule)}'))
    return tuple(found)


def _tag_sets(dataplane: Dataplane) -> Iterator[tuple[str, Mapping[str, str]]]:
    gateway = dataplane.networking.gateway
    if gateway is not None:
        yield "networking.gateway.tags", gateway.tags
    for index, inbound in enumerate(dataplane.networking.inbound):
        yield f"networking.inbound[{index}].tags", inbound.tags


def _matches(rule: ConstraintRule, tags: Mapping[str, str]) -> bool:
    return all(key in tags and value in ("*", tags[key]) for key, value in rule.tags.items())


def _show(rule: ConstraintRule) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(rule.tags.items()))
