"""Which inbounds a MeshTrafficPermission selects, and in which order policies are merged."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from kumacp.policy.mesh_traffic_permission import MeshTrafficPermissions, in_merge_order
from kumacp.policy.selector import selects
from kumamesh.kri import kri_of
from permissions import MESH, dataplane, entry, mesh_traffic_permission

HTTP = {
    "port": 8080,
    "name": "http-port",
    "tags": {"kuma.io/service": "backend", "version": "v1", "kuma.io/zone": "east"},
}
ADMIN = {"port": 8081, "tags": {"kuma.io/service": "backend-admin", "kuma.io/zone": "east"}}
LABELS = {"app": "backend", "kuma.io/display-name": "shown", "kuma.io/origin": "zone", "kuma.io/zone": "east"}
PROXY = dataplane("backend-1", [HTTP, ADMIN], LABELS)


def policy(target: dict[str, Any] | None, name: str = "p", labels: dict[str, str] | None = None) -> Any:
    spec = {"from": [entry("Allow")], **({"targetRef": target} if target is not None else {})}
    return mesh_traffic_permission(name, spec, labels)


def selected(one: Any) -> list[int]:
    return [inbound.port for inbound in PROXY.spec.networking.inbound if selects(one, PROXY, inbound)]


@pytest.mark.parametrize(
    ("target", "ports"),
    [
        (None, [8080, 8081]),
        ({"kind": "Mesh"}, [8080, 8081]),
        ({"kind": "Mesh", "proxyTypes": ["Gateway"]}, []),
        ({"kind": "Mesh", "proxyTypes": ["Gateway", "Sidecar"]}, [8080, 8081]),
        ({"kind": "MeshSubset", "tags": {"version": "v1"}}, [8080]),
        ({"kind": "MeshSubset", "tags": {"kuma.io/zone": "*"}}, [8080, 8081]),
        ({"kind": "MeshSubset", "tags": {"kuma.io/zone": "east"}, "proxyTypes": ["Gateway"]}, []),
        ({"kind": "MeshService", "name": "backend"}, [8080]),
        ({"kind": "MeshService", "name": "web"}, []),
        ({"kind": "MeshServiceSubset", "name": "backend", "tags": {"version": "v1"}}, [8080]),
        ({"kind": "MeshServiceSubset", "name": "backend", "tags": {"version": "v2"}}, []),
        ({"kind": "Dataplane"}, [8080, 8081]),
        ({"kind": "Dataplane", "name": "backend-1"}, [8080, 8081]),
        ({"kind": "Dataplane", "name": "shown"}, [8080, 8081]),
        ({"kind": "Dataplane", "name": "web-1"}, []),
        ({"kind": "Dataplane", "labels": {"app": "backend"}}, [8080, 8081]),
        ({"kind": "Dataplane", "labels": {"app": "web"}}, []),
        ({"kind": "Dataplane", "labels": {"app": "backend"}, "sectionName": "http-port"}, [8080]),
        ({"kind": "Dataplane", "sectionName": "8081"}, [8081]),
        ({"kind": "Dataplane", "sectionName": "none"}, []),
        ({"kind": "Dataplane", "namespace": "demo"}, []),
        ({"kind": "MeshGateway", "name": "edge"}, []),
        ({"kind": "MeshHTTPRoute", "name": "route"}, []),
    ],
)
def test_target_ref_selects_inbounds(target: dict[str, Any] | None, ports: list[int]) -> None:
    assert selected(policy(target)) == ports


@pytest.mark.parametrize(
    ("labels", "ports"),
    [
        ({"kuma.io/origin": "zone", "kuma.io/zone": "east"}, [8080, 8081]),
        ({"kuma.io/origin": "zone", "kuma.io/zone": "west"}, []),
        ({"kuma.io/origin": "global", "kuma.io/zone": "west"}, [8080, 8081]),
        (
            {"kuma.io/origin": "zone", "kuma.io/zone": "west", "kuma.io/policy-role": "producer"},
            [8080, 8081],
        ),
        ({"kuma.io/policy-role": "workload-owner", "k8s.kuma.io/namespace": "demo"}, []),
        ({"kuma.io/policy-role": "consumer"}, []),
    ],
)
def test_policies_of_other_zones_and_namespaces_select_nothing(
    labels: dict[str, str], ports: list[int]
) -> None:
    assert selected(policy({"kind": "Mesh"}, labels=labels)) == ports


def test_shadow_policies_are_left_out() -> None:
    shadow = policy({"kind": "Mesh"}, "shadow", {"kuma.io/effect": "shadow"})
    real = policy({"kind": "Mesh"}, "real")
    inbound = PROXY.spec.networking.inbound[0]
    assert MeshTrafficPermissions(MESH, [shadow, real]).selecting(PROXY, inbound) == (real,)


def test_merge_order() -> None:
    """Later overrules: kind, section, origin, role, and a before z."""
    mesh, service = {"kind": "Mesh"}, {"kind": "MeshService", "name": "backend"}

    def of_zone(role: str) -> dict[str, str]:
        return {"kuma.io/origin": "zone", "kuma.io/policy-role": role}

    ordered = [
        policy(mesh, "b", {"kuma.io/origin": "global"}),
        policy(mesh, "a", {"kuma.io/origin": "global"}),
        policy(mesh, "z", {"kuma.io/origin": "zone"}),
        policy(mesh, "z2", of_zone("producer")),
        policy(mesh, "z3", of_zone("consumer")),
        policy(mesh, "z4", of_zone("workload-owner")),
        policy({"kind": "Dataplane", "name": "backend-1"}, "z"),
        policy({"kind": "Dataplane", "sectionName": "8080"}, "z"),
        policy({"kind": "MeshSubset", "tags": {"version": "v1"}}, "z"),
        policy(service, "c", {"kuma.io/display-name": "z"}),
        policy(service, "b"),
        policy(service, "z", {"kuma.io/display-name": "a"}),
        policy({"kind": "MeshServiceSubset", "name": "backend", "tags": {"version": "v1"}}, "z"),
    ]
    assert list(in_merge_order(ordered[::-1])) == ordered
    assert all(list(in_merge_order(pair[::-1])) == list(pair) for pair in itertools.pairwise(ordered))


def test_kri_names_zone_namespace_and_display_name() -> None:
    assert kri_of(policy(None, "p")) == "kri_mtp_default___p_"
    labels = {
        "kuma.io/zone": "east",
        "k8s.kuma.io/namespace": "demo",
        "kuma.io/display-name": "shown",
    }
    assert kri_of(policy(None, "p", labels)) == "kri_mtp_default_east_demo_shown_"
