"""MeshTrafficPermission before TrafficPermission before nobody; asked often, made once."""

from __future__ import annotations

from typing import Any

from kumacp.policy.permission import PermissionIndex, inbound_rbac
from kumacp.xds.model import PrincipalPolicy, PrincipalRbac, UriMatch
from permissions import MESH, dataplane, entry, mesh_traffic_permission, traffic_permission

PROXY = dataplane(
    inbounds=[
        {"port": 80, "tags": {"kuma.io/service": "backend"}},
        {"port": 81, "tags": {"kuma.io/service": "admin"}},
    ]
)
BACKEND, ADMIN = PROXY.spec.networking.inbound
ALLOW_ALL = traffic_permission("allow-all-default", [{"kuma.io/service": "*"}])
FOR_BACKEND = {"targetRef": {"kind": "MeshService", "name": "backend"}}
WEB_ONLY = mesh_traffic_permission(
    "web-only", {**FOR_BACKEND, "from": [entry("Allow", kind="MeshService", name="web")]}
)
EMPTY = mesh_traffic_permission("empty", {**FOR_BACKEND, "from": []})


def ask(inbound: Any, legacy: Any = (), current: Any = (), *, http: bool = True) -> Any:
    return inbound_rbac(
        MESH, PROXY, inbound, traffic_permissions=legacy, mesh_traffic_permissions=current, http=http
    )


def test_nothing_allows_nothing() -> None:
    assert ask(BACKEND) == PrincipalRbac((), http=True)
    assert ask(BACKEND, http=False) == PrincipalRbac(())


def test_traffic_permission_works_on_connections() -> None:
    expected = PrincipalRbac((PrincipalPolicy("allow-all-default", ((),)),), http=False)
    assert ask(BACKEND, [ALLOW_ALL]) == ask(BACKEND, [ALLOW_ALL], http=False) == expected


def test_traffic_permission_of_another_service_allows_nothing() -> None:
    assert ask(BACKEND, [traffic_permission("admin", [{"kuma.io/service": "admin"}])]).allow == ()


def test_mesh_traffic_permission_replaces_the_other_where_it_selects() -> None:
    web = PrincipalPolicy("MeshTrafficPermission", ((UriMatch("spiffe://default/web"),),))
    assert ask(BACKEND, [ALLOW_ALL], [WEB_ONLY]) == PrincipalRbac((web,), http=True)
    assert ask(ADMIN, [ALLOW_ALL], [WEB_ONLY]).allow[0].name == "allow-all-default"


def test_mesh_traffic_permission_that_allows_nobody_replaces_it_too() -> None:
    assert ask(BACKEND, [ALLOW_ALL], [EMPTY]) == PrincipalRbac((), http=True)


def test_inbounds_with_the_same_policies_share_one_rbac() -> None:
    index = PermissionIndex(MESH, [ALLOW_ALL], [WEB_ONLY])
    one = index.inbound_rbac(PROXY, BACKEND, http=True)
    other = index.inbound_rbac(dataplane("backend-2"), BACKEND, http=True)
    assert one is other
    assert index.inbound_rbac(PROXY, BACKEND, http=False) is not one
    legacy = index.inbound_rbac(PROXY, ADMIN, http=True)
    assert legacy is index.inbound_rbac(PROXY, ADMIN, http=False)


def test_the_same_tuples_are_indexed_once() -> None:
    legacy, current = (ALLOW_ALL,), (WEB_ONLY,)
    assert ask(BACKEND, legacy, current) is ask(BACKEND, legacy, current)


def test_a_list_that_changed_is_looked_at_again() -> None:
    legacy = [ALLOW_ALL]
    assert ask(BACKEND, legacy).allow
    legacy.clear()
    assert ask(BACKEND, legacy).allow == ()
