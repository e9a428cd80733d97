"""Which permissions decide who may call a service outside the mesh, and what they decide together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from kumacp.policy.permission import PermissionIndex, outside_rbac
from kumacp.xds.model import MatcherRbac, PrincipalRbac, Rbac, UriMatch
from kumamesh.resource import Resource
from permissions import MESH, entry, mesh_traffic_permission, traffic_permission

TAGS = {"kuma.io/service": "httpbin", "kuma.io/protocol": "http", "version": "v1"}
WEB = UriMatch("spiffe://default/web")


def policy(target: Mapping[str, Any] | None, labels: Mapping[str, str] | None = None) -> Resource:
    spec = {"from": [entry("Allow", kind="MeshService", name="web")]}
    return mesh_traffic_permission("p", {**spec, **({"targetRef": dict(target)} if target else {})}, labels)


def rbac(current: Sequence[Resource] = (), legacy: Sequence[Resource] = (), *, http: bool = True) -> Rbac:
    return outside_rbac(
        MESH, TAGS, "east", traffic_permissions=legacy, mesh_traffic_permissions=current, http=http
    )


def allowed(decision: Rbac) -> list[UriMatch]:
    assert isinstance(decision, PrincipalRbac)
    found = [match for one in decision.allow for principal in one.principals for match in principal]
    return [match for match in found if isinstance(match, UriMatch)]


@pytest.mark.parametrize(
    ("target", "selects"),
    [
        (None, True),
        ({"kind": "Mesh"}, True),
        ({"kind": "Mesh", "proxyTypes": ["Gateway"]}, True),
        ({"kind": "MeshSubset", "tags": {"version": "v1"}}, True),
        ({"kind": "MeshSubset", "tags": {"version": "v2"}}, False),
        ({"kind": "MeshService", "name": "httpbin"}, True),
        ({"kind": "MeshService", "name": "backend"}, False),
        ({"kind": "MeshServiceSubset", "name": "httpbin", "tags": {"version": "v1"}}, True),
        ({"kind": "MeshServiceSubset", "name": "httpbin", "tags": {"version": "v2"}}, False),
        ({"kind": "Dataplane"}, False),
        ({"kind": "Dataplane", "name": "httpbin"}, False),
        ({"kind": "MeshGateway", "name": "httpbin"}, False),
    ],
)
def test_the_tags_of_the_service_are_selected(target: dict[str, Any] | None, selects: bool) -> None:
    """Where Kuma looks at nothing but tags: policies for proxies select none, their types do not matter."""
    assert (WEB in allowed(rbac([policy(target)]))) is selects


@pytest.mark.parametrize(
    ("labels", "selects"),
    [
        ({"kuma.io/origin": "global"}, True),
        ({"kuma.io/origin": "zone", "kuma.io/zone": "east"}, True),
        ({"kuma.io/origin": "zone"}, True),
        ({"kuma.io/origin": "zone", "kuma.io/zone": "west"}, False),
        ({"kuma.io/origin": "zone", "kuma.io/zone": "west", "kuma.io/policy-role": "producer"}, True),
        ({"kuma.io/policy-role": "consumer", "k8s.kuma.io/namespace": "demo"}, False),
        ({"kuma.io/policy-role": "workload-owner", "k8s.kuma.io/namespace": "demo"}, False),
        ({"kuma.io/effect": "shadow"}, False),
    ],
)
def test_policies_of_other_zones_and_of_namespaces_do_not_decide(
    labels: Mapping[str, str], selects: bool
) -> None:
    assert (WEB in allowed(rbac([policy({"kind": "Mesh"}, labels)]))) is selects


def test_without_a_permission_nobody_may_call() -> None:
    assert rbac() == PrincipalRbac(allow=(), http=True)


def test_a_traffic_permission_decides_on_connections_by_the_most_specific_destination() -> None:
    anybody = traffic_permission("all", [{"kuma.io/service": "*"}])
    narrow = traffic_permission("narrow", [{"kuma.io/service": "httpbin"}], [{"kuma.io/service": "web"}])
    decision = rbac(legacy=[anybody, narrow])
    assert allowed(decision) == [WEB]
    assert not decision.http
    assert allowed(rbac(legacy=[anybody])) == []


def test_mesh_traffic_permissions_that_select_it_decide_alone() -> None:
    anybody = traffic_permission("all", [{"kuma.io/service": "*"}], [{"kuma.io/service": "api"}])
    assert allowed(rbac([policy({"kind": "MeshService", "name": "httpbin"})], [anybody])) == [WEB]
    elsewhere = policy({"kind": "MeshService", "name": "backend"})
    assert allowed(rbac([elsewhere], [anybody])) == [UriMatch("spiffe://default/api")]


def test_rules_by_identity_decide_too() -> None:
    match = {"spiffeID": {"type": "Exact", "value": "spiffe://default/web"}}
    rules = mesh_traffic_permission("p", {"rules": [{"default": {"allow": [match]}}]})
    decision = rbac([rules], http=False)
    assert isinstance(decision, MatcherRbac)
    assert decision.rules[0].allow == (WEB,)
    assert not decision.http


def test_services_for_which_the_same_policies_decide_share_one_decision() -> None:
    index = PermissionIndex(MESH, (), [policy({"kind": "Mesh"})])
    one, other = ({"kuma.io/service": name} for name in ("one", "other"))
    assert index.outside_rbac(one, "east", http=True) is index.outside_rbac(other, "east", http=True)
