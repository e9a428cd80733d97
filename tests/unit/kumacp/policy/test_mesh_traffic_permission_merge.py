"""What MeshTrafficPermissions say together: the last matching entry counts, a deny of the rules form wins."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.policy.mesh_traffic_permission import MeshTrafficPermissions
from kumacp.xds.model import (
    MatcherRbac,
    NotAll,
    Principal,
    PrincipalPolicy,
    PrincipalRbac,
    SpiffeRule,
    UriMatch,
)
from permissions import MESH, entry, mesh_traffic_permission

WEB, API = UriMatch("spiffe://default/web"), UriMatch("spiffe://default/api")
V1 = UriMatch("kuma://version/v1")
NOT_WEB = UriMatch("spiffe://default/web", negated=True)

EVERYBODY = {"kind": "Mesh"}
SUBSET_WEB = {"kind": "MeshSubset", "tags": {"kuma.io/service": "web"}}
SERVICE_WEB = {"kind": "MeshService", "name": "web"}
WEB_V1 = {"kind": "MeshServiceSubset", "name": "web", "tags": {"version": "v1"}}
WEB_V2 = {"kind": "MeshServiceSubset", "name": "web", "tags": {"version": "v2"}}
ONLY_V1 = {"kind": "MeshSubset", "tags": {"version": "v1"}}


def rbac(*entries: dict[str, Any], http: bool = True) -> Any:
    policy = mesh_traffic_permission("p", {"from": list(entries)})
    return MeshTrafficPermissions(MESH, [policy]).rbac([policy], http=http)


def allowed(*entries: dict[str, Any]) -> tuple[Principal, ...]:
    made = rbac(*entries)
    return made.allow[0].principals if made.allow else ()


@pytest.mark.parametrize(
    ("entries", "principals"),
    [
        ([], ()),
        ([entry("Deny", **EVERYBODY)], ()),
        ([entry("Allow", **EVERYBODY)], ((),)),
        ([{"default": {"action": "Allow"}}], ((),)),
        ([entry("Allow", **SUBSET_WEB)], ((WEB,),)),
        ([entry("Allow", **SERVICE_WEB)], ((WEB,),)),
        ([entry("Allow", **WEB_V1)], ((WEB, V1),)),
        ([entry("Allow", **EVERYBODY), entry("Deny", **SUBSET_WEB)], ((NOT_WEB,),)),
        ([entry("Deny", **SUBSET_WEB), entry("Allow", **EVERYBODY)], ((),)),
        ([entry("Allow", **SUBSET_WEB), entry("Deny", **EVERYBODY)], ()),
        ([entry("Deny", **EVERYBODY), entry("Allow", **SUBSET_WEB)], ((WEB,),)),
        ([entry("Allow", **EVERYBODY), entry("Deny", **WEB_V1)], ((NotAll((WEB, V1)),),)),
        (
            [entry("Allow", **SUBSET_WEB), entry("Deny", **WEB_V1)],
            ((WEB, UriMatch("kuma://version/v1", negated=True)),),
        ),
        (
            [entry("Allow", **EVERYBODY), entry("Deny", **SUBSET_WEB), entry("Allow", **WEB_V1)],
            ((NOT_WEB,), (WEB, V1)),
        ),
        ([entry("Allow", **WEB_V1), entry("Deny", **WEB_V2)], ((WEB, V1),)),
        ([entry("Allow", **SUBSET_WEB), entry("Allow", **EVERYBODY)], ((),)),
        ([entry("Allow", kind="MeshGateway", name="edge")], ()),
        ([{"targetRef": EVERYBODY, "default": {}}], ()),
    ],
)
def test_last_matching_entry_counts(entries: list[Any], principals: tuple[Principal, ...]) -> None:
    assert allowed(*entries) == principals


def test_policy_has_one_name_for_all() -> None:
    made = rbac(entry("Allow", **SUBSET_WEB))
    assert made == PrincipalRbac((PrincipalPolicy("MeshTrafficPermission", ((WEB,),)),), http=True)
    assert rbac(entry("Allow", **SUBSET_WEB), http=False).http is False


def test_shadow_deny_allows_and_is_counted() -> None:
    made = rbac(entry("Allow", **EVERYBODY), entry("AllowWithShadowDeny", **SUBSET_WEB))
    assert made.allow[0].principals == ((), (WEB,))
    assert made.shadow_deny == (PrincipalPolicy("MeshTrafficPermission", ((WEB,),)),)


def test_shadow_deny_is_overruled_by_a_later_allow() -> None:
    made = rbac(entry("AllowWithShadowDeny", **SUBSET_WEB), entry("Allow", **WEB_V1))
    assert made.allow[0].principals == ((WEB,), (WEB, V1))
    assert made.shadow_deny[0].principals == ((WEB, UriMatch("kuma://version/v1", negated=True)),)


def test_policies_are_merged_in_the_order_given() -> None:
    deny = mesh_traffic_permission("deny", {"from": [entry("Deny", **SUBSET_WEB)]})
    allow = mesh_traffic_permission("allow", {"from": [entry("Allow", **EVERYBODY)]})
    permissions = MeshTrafficPermissions(MESH, [deny, allow])
    assert permissions.rbac([deny, allow], http=True).allow[0].principals == ((),)
    assert permissions.rbac([allow, deny], http=True).allow[0].principals == ((NOT_WEB,),)


def test_rules_become_matchers_named_by_kri() -> None:
    web = {"type": "Exact", "value": "spiffe://default/web"}
    rules = [
        {
            "default": {
                "deny": [{"spiffeID": {"type": "Prefix", "value": "spiffe://default/legacy/"}}],
                "allow": [
                    {"spiffeID": web, "sni": {"value": "a.mesh"}},
                    {"sni": {"type": "Exact", "value": "b.mesh"}},
                ],
                "allowWithShadowDeny": [{"spiffeID": {"type": "Exact", "value": "spiffe://default/api"}}],
            }
        }
    ]
    policy = mesh_traffic_permission("p", {"rules": rules})
    assert MeshTrafficPermissions(MESH, [policy]).rbac([policy], http=True) == MatcherRbac(
        (
            SpiffeRule(
                "kri_mtp_default___p_",
                deny=(UriMatch("spiffe://default/legacy/", prefix=True),),
                allow=(
                    UriMatch("spiffe://default/web", server_name="a.mesh"),
                    UriMatch("", server_name="b.mesh"),
                ),
                allow_with_shadow_deny=(API,),
            ),
        ),
        http=True,
    )


def test_a_match_that_asks_for_nothing_matches_nobody() -> None:
    policy = mesh_traffic_permission("p", {"rules": [{"default": {"allow": [{}]}}]})
    made = MeshTrafficPermissions(MESH, [policy]).rbac([policy], http=True)
    assert made == MatcherRbac((SpiffeRule("kri_mtp_default___p_"),), http=True)


def test_from_beside_rules_keeps_its_meaning() -> None:
    spiffe = {"spiffeID": {"type": "Exact", "value": "spiffe://default/api"}}
    rules = mesh_traffic_permission("rules", {"rules": [{"default": {"deny": [spiffe]}}]})
    entries = [
        entry("Allow", **EVERYBODY),
        entry("Deny", **SUBSET_WEB),
        entry("AllowWithShadowDeny", **WEB_V1),
    ]
    clients = mesh_traffic_permission("clients", {"from": entries})
    made = MeshTrafficPermissions(MESH, [rules, clients]).rbac([rules, clients], http=False)
    name = "kri_mtp_default___clients_"
    assert made == MatcherRbac(
        (SpiffeRule("kri_mtp_default___rules_", deny=(API,)),),
        deny=(PrincipalPolicy(name, ((WEB, UriMatch("kuma://version/v1", negated=True)),)),),
        allow=(PrincipalPolicy(name, ((NOT_WEB,),)), PrincipalPolicy(name, ((WEB, V1),))),
        shadow_deny=(PrincipalPolicy(name, ((WEB, V1),)),),
    )


TAGS = {"kuma.io/service": ["web", "api"], "version": ["v1", "v2"], "team": ["a"]}
subsets = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in TAGS.items()})
actions = st.sampled_from(["Allow", "Deny", "AllowWithShadowDeny"])


def holds(principal: Iterable[UriMatch | NotAll], uris: set[str]) -> bool:
    def one(item: UriMatch | NotAll) -> bool:
        if isinstance(item, NotAll):
            return not all(one(match) for match in item.matches)
        return (item.value in uris) is not item.negated

    return all(one(item) for item in principal)


def decides(policies: Iterable[PrincipalPolicy], uris: set[str]) -> bool:
    return any(holds(principal, uris) for policy in policies for principal in policy.principals)


@given(st.lists(st.tuples(subsets, actions), max_size=7), subsets)
def test_principals_say_what_the_last_matching_entry_says(
    entries: list[tuple[dict[str, str], str]], client: dict[str, str]
) -> None:
    items = [entry(action, kind="MeshSubset", tags=tags) for tags, action in entries]
    uris = {
        f"spiffe://default/{value}" if tag == "kuma.io/service" else f"kuma://{tag}/{value}"
        for tag, value in client.items()
    }
    last = next((action for tags, action in reversed(entries) if tags.items() <= client.items()), "Deny")
    made = rbac(*items)
    assert decides(made.allow, uris) is (last != "Deny")
    assert decides(made.shadow_deny, uris) is (last == "AllowWithShadowDeny")
