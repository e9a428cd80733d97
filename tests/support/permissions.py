"""Short forms of permissions and proxies for tests of policies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.permission import MeshTrafficPermission, TrafficPermission

MESH = "default"


def traffic_permission(
    name: str,
    destinations: Sequence[Mapping[str, str]],
    sources: Sequence[Mapping[str, str]] = ({"kuma.io/service": "*"},),
    *,
    created: int = 0,
) -> Resource:
    """`created`: seconds after some time, for the age of permissions."""
    spec = TrafficPermission.model_validate(
        {
            "sources": [{"match": dict(match)} for match in sources],
            "destinations": [{"match": dict(match)} for match in destinations],
        }
    )
    time = datetime.fromtimestamp(1_800_000_000 + created, UTC)
    return Resource(ResourceKey("TrafficPermission", MESH, name), spec, creation_time=time)


def mesh_traffic_permission(
    name: str, spec: Mapping[str, Any], labels: Mapping[str, str] | None = None
) -> Resource:
    """The spec as JSON."""
    return Resource(
        ResourceKey("MeshTrafficPermission", MESH, name),
        MeshTrafficPermission.model_validate(spec),
        labels=labels or {},
    )


def entry(action: str, **target_ref: Any) -> dict[str, Any]:
    """An item of a `from` list."""
    return {"targetRef": target_ref or {"kind": "Mesh"}, "default": {"action": action}}


def dataplane(
    name: str = "backend-1",
    inbounds: Sequence[Mapping[str, Any]] = (),
    labels: Mapping[str, str] | None = None,
) -> Resource:
    spec = Dataplane.model_validate(
        {"networking": {"address": "192.0.2.1", "inbound": [dict(one) for one in inbounds]}}
    )
    return Resource(ResourceKey("Dataplane", MESH, name), spec, labels=labels or {})
