"""Who may write what: at a global control plane, in a zone that has one, and in a zone alone."""

from __future__ import annotations

import pytest

from kumacp.api.authority import ON_GLOBAL, ON_ZONE, Authority
from kumacp.mode import Role
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.permission import MeshTrafficPermission
from kumamesh.resources.registry import TYPES

GLOBAL = Authority(Role("global"))
FEDERATED = Authority(Role("zone", "zone-1", "grpcs://global:5685"))
ALONE = Authority(Role("zone", "zone-1"))
PROXIES = {"Dataplane", "ZoneIngress", "ZoneEgress"}
READ_ONLY = {name for name, type_ in TYPES.items() if type_.read_only}


def refused(authority: Authority) -> set[str]:
    return {name for name, type_ in TYPES.items() if authority.refusal(type_, "some-name")}


def test_the_texts_are_those_that_people_know() -> None:
    assert ON_GLOBAL == (
        "On global control plane you can not modify dataplane resources with 'kumactl apply' or via the HTTP"
        " API. You can still use 'kumactl' or the HTTP API to modify them on the zone control plane."
    )
    assert ON_ZONE == (
        "On zone control plane you can only modify zone resources with 'kumactl apply' or via the HTTP API."
        " You can still use 'kumactl' or the HTTP API to modify the rest of the resource on the global"
        " control plane."
    )


def test_types_by_role() -> None:
    assert refused(GLOBAL) == PROXIES
    assert refused(ALONE) == set()
    assert refused(FEDERATED) == TYPES.keys() - PROXIES
    assert {GLOBAL.refusal(TYPES[name], "x") for name in PROXIES} == {ON_GLOBAL}
    assert FEDERATED.refusal(TYPES["Mesh"], "default") == ON_ZONE


def test_secrets_that_no_global_sends_are_the_zones_own() -> None:
    secrets = TYPES["GlobalSecret"]
    assert FEDERATED.refusal(secrets, "user-token-revocations") == ""
    assert FEDERATED.refusal(secrets, "zone-token-revocations") == ON_ZONE
    assert FEDERATED.refusal(TYPES["Secret"], "user-token-revocations") == ON_ZONE


def test_policies_of_its_own_are_taken_where_that_was_asked_for() -> None:
    permitted = Authority(FEDERATED.role, own_policies=True)
    policies = {name for name, type_ in TYPES.items() if type_.policy}
    assert policies
    assert refused(permitted) == TYPES.keys() - PROXIES - policies


@pytest.mark.parametrize(
    ("authority", "origin", "text"),
    [
        (GLOBAL, "zone", ON_GLOBAL),
        (GLOBAL, "global", ""),
        (GLOBAL, "", ""),
        (FEDERATED, "global", ON_ZONE),
        (FEDERATED, "zone", ""),
        (FEDERATED, "", ""),
        (ALONE, "global", ""),
        (ALONE, "zone", ""),
    ],
)
def test_what_came_from_elsewhere_is_changed_there(authority: Authority, origin: str, text: str) -> None:
    labels = {"kuma.io/origin": origin} if origin else {}
    key = ResourceKey("MeshTrafficPermission", "default", "mtp")
    assert authority.refusal_to_replace(Resource(key, MeshTrafficPermission(), labels)) == text


@pytest.mark.parametrize("authority", [GLOBAL, FEDERATED, ALONE])
def test_what_is_described_as_writable_is(authority: Authority) -> None:
    writable = {name for name, type_ in TYPES.items() if authority.writes(type_)}
    some = {"GlobalSecret"} if authority is FEDERATED else set()
    assert writable == TYPES.keys() - refused(authority) - READ_ONLY | some
