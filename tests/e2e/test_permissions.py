"""Who may call whom: TrafficPermission and both forms of MeshTrafficPermission."""

from __future__ import annotations

from typing import Any

import pytest

from lab import Lab, eventually
from pair import Pair, start_pair

ALLOW_ALL = "/meshes/default/traffic-permissions/allow-all-default"


def _settles(pair: Pair, allowed: bool) -> None:
    """The wanted state is reached and seen in ten requests in a row."""

    def ten() -> bool:
        return all((pair.call()[0] == 200) is allowed for _ in range(10))

    eventually(ten, f"requests {'allowed' if allowed else 'denied'}")


def _traffic_permission(source: str) -> dict[str, Any]:
    return {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": "web-to-backend",
        "sources": [{"match": {"kuma.io/service": source}}],
        "destinations": [{"match": {"kuma.io/service": "backend"}}],
    }


def _from(action: str) -> dict[str, Any]:
    rule = {
        "targetRef": {"kind": "MeshSubset", "tags": {"kuma.io/service": "web"}},
        "default": {"action": action},
    }
    return _mesh_permission({"targetRef": {"kind": "Mesh"}, "from": [rule]})


def _rules(kind: str) -> dict[str, Any]:
    match = {"spiffeID": {"type": "Exact", "value": "spiffe://default/web"}}
    return _mesh_permission({"targetRef": {"kind": "Mesh"}, "rules": [{"default": {kind: [match]}}]})


def _mesh_permission(spec: dict[str, Any]) -> dict[str, Any]:
    return {"type": "MeshTrafficPermission", "mesh": "default", "name": "web", "spec": spec}


@pytest.mark.promise("B10", part="configuration follows a policy")
def test_traffic_permission_denies_and_allows(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    pair.plane.delete(ALLOW_ALL)
    _settles(pair, allowed=False)
    pair.plane.put(_traffic_permission("web"))
    _settles(pair, allowed=True)
    pair.plane.put(_traffic_permission("somebody"))
    _settles(pair, allowed=False)


@pytest.mark.parametrize(
    ("allow", "deny"),
    [(_from("Allow"), _from("Deny")), (_rules("allow"), _rules("deny"))],
    ids=["from", "rules"],
)
def test_mesh_traffic_permission_denies_and_allows(
    mesh_lab: Lab, allow: dict[str, Any], deny: dict[str, Any]
) -> None:
    pair = start_pair(mesh_lab)
    pair.plane.put(deny)
    _settles(pair, allowed=False)
    assert pair.call()[0] == 403
    pair.plane.put(allow)
    _settles(pair, allowed=True)
    pair.plane.delete("/meshes/default/meshtrafficpermissions/web")
    pair.plane.delete(ALLOW_ALL)
    _settles(pair, allowed=False)
