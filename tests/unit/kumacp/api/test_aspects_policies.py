"""Which policies are shown for a Dataplane, and which Dataplanes for a policy."""

from __future__ import annotations

from typing import Any

import pytest

from kumacp.api.inspect_layout import (
    NoIdentifier,
    check_outbound_kri,
    inbound_of_kri,
    layout_document,
    service_protocols,
)
from kumacp.api.inspect_policies import PolicyMatcher, affected, is_selected, policies_document
from kumacp.api.inspect_rules import (
    NO_MTLS,
    attachments_document,
    client_rules,
    inbound_policies_document,
    rules_document,
)
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from permissions import MESH, dataplane, entry, mesh_traffic_permission, traffic_permission

HTTP = {"port": 8080, "servicePort": 18080, "name": "main", "tags": {"kuma.io/service": "backend", "v": "1"}}
ADMIN = {"port": 8081, "tags": {"kuma.io/service": "backend-admin"}}
HIDDEN = {"port": 8082, "state": "Ignored", "tags": {"kuma.io/service": "backend"}}
PROXY = dataplane("backend-1", [HTTP, ADMIN, HIDDEN], {"kuma.io/zone": "east", "app": "backend"})
ALL = traffic_permission("all", [{"kuma.io/service": "*"}])
BACKEND = traffic_permission("backend-only", [{"kuma.io/service": "backend"}])
NARROW = {"kind": "MeshSubset", "tags": {"v": "1"}}


def current(name: str, *items: Any, target: Any = NARROW, rules: Any = (), **labels: str) -> Resource:
    spec = {
        "targetRef": target,
        **({"from": list(items)} if items else {}),
        **({"rules": list(rules)} if rules else {}),
    }
    return mesh_traffic_permission(name, spec, {f"kuma.io/{key}": value for key, value in labels.items()})


def matcher(*policies: Resource) -> PolicyMatcher:
    by_type = {type_: [policy for policy in policies if policy.type == type_] for type_ in
               ("TrafficPermission", "MeshTrafficPermission")}  # fmt: skip
    return PolicyMatcher(MESH, by_type["TrafficPermission"], by_type["MeshTrafficPermission"])


def shown(document: Any) -> list[tuple[str, dict[str, list[str]]]]:
    return [
        (
            item["name"],
            {type_: [p["name"] for p in found] for type_, found in item["matchedPolicies"].items()},
        )
        for item in document["items"]
    ]


def test_each_inbound_shows_the_permission_that_decides() -> None:
    document = policies_document(PROXY, matcher(ALL, BACKEND))
    assert (document["kind"], document["total"]) == ("SidecarDataplane", 2)
    assert shown(document) == [
        ("192.0.2.1:8080:18080", {"TrafficPermission": ["backend-only"]}),
        ("192.0.2.1:8081:8081", {"TrafficPermission": ["all"]}),
    ]
    assert [(item["type"], item["service"]) for item in document["items"]] == [
        ("inbound", "backend"),
        ("inbound", "backend-admin"),
    ]
    (policy,) = document["items"][0]["matchedPolicies"]["TrafficPermission"]
    assert (policy["type"], policy["mesh"]) == ("TrafficPermission", MESH)


def test_mesh_traffic_permissions_decide_alone_where_they_select() -> None:
    mine, other = current("b", entry("Deny")), current("a", entry("Allow"))
    shadow = current("shadow", entry("Deny"), effect="shadow")
    document = policies_document(PROXY, matcher(ALL, mine, other, shadow))
    assert shown(document) == [
        ("192.0.2.1:8080:18080", {"MeshTrafficPermission": ["b", "a"]}),
        ("192.0.2.1:8081:8081", {"TrafficPermission": ["all"]}),
    ]


def test_without_policies_nothing_is_shown() -> None:
    assert policies_document(PROXY, matcher()) == {"kind": "SidecarDataplane", "total": 0, "items": []}
    assert rules_document(PROXY, matcher(ALL), mtls=True)["rules"] == []


@pytest.mark.parametrize(
    ("kind", "shown_as"), [("BUILTIN", "MeshGatewayDataplane"), ("DELEGATED", "SidecarDataplane")]
)
def test_gateways(kind: str, shown_as: str) -> None:
    gateway = {
        "networking": {"address": "192.0.2.1", "gateway": {"type": kind, "tags": {"kuma.io/service": "g"}}}
    }
    proxy = Resource(ResourceKey("Dataplane", MESH, "g"), Dataplane.model_validate(gateway))
    document = policies_document(proxy, matcher(ALL))
    assert (document["kind"], document["total"], document["items"]) == (shown_as, 0, [])


def test_a_policy_affects_the_inbounds_about_which_it_decides() -> None:
    everything = matcher(ALL, BACKEND)
    assert affected(ALL, PROXY, everything) == {
        "kind": "SidecarDataplane",
        "dataplane": {"mesh": MESH, "name": "backend-1"},
        "attachments": [{"type": "inbound", "name": "192.0.2.1:8081:8081", "service": "backend-admin"}],
    }
    overruled = matcher(ALL, current("mine", entry("Deny"), target={"kind": "Mesh"}))
    assert affected(ALL, PROXY, overruled) is None
    of_the_same_name = current("all", entry("Deny"))
    assert affected(of_the_same_name, PROXY, everything) is None


@pytest.mark.parametrize(
    ("policy", "selected"),
    [
        (ALL, True),
        (BACKEND, True),
        (traffic_permission("web", [{"kuma.io/service": "web"}]), False),
        (traffic_permission("none", []), False),
        (current("p", entry("Deny")), True),
        (current("p", entry("Deny"), effect="shadow"), True),
        (current("p", entry("Deny"), target={"kind": "MeshSubset", "tags": {"v": "2"}}), False),
        (current("p", entry("Deny"), target={"kind": "Dataplane", "name": "web-1"}), False),
    ],
)
def test_a_policy_selects_by_what_it_says_of_its_targets(policy: Resource, selected: bool) -> None:
    assert is_selected(policy, PROXY) is selected


def test_later_rules_overrule_what_they_cover() -> None:
    web = {"kind": "MeshSubset", "tags": {"kuma.io/service": "web"}}
    first = current("first", entry("Allow"), entry("Deny", **web))
    assert _rules(first) == [({"kuma.io/service": "web"}, "Deny", ["first"]), ({}, "Allow", ["first"])]
    second = current("second", entry("Allow", **web))
    assert _rules(first, second) == [
        ({"kuma.io/service": "web"}, "Allow", ["first", "second"]),
        ({}, "Allow", ["first"]),
    ]
    last = current("last", entry("Deny"))
    assert _rules(first, second, last) == [({}, "Deny", ["first", "last"])]
    assert _rules(current("nothing", {"targetRef": {"kind": "Mesh"}}), current("x", rules=[{}])) == []


def _rules(*policies: Resource) -> list[tuple[dict[str, str], str, list[str]]]:
    return [
        (dict(rule.tags), rule.action, [origin.name for origin in rule.origins])
        for rule in client_rules(policies)
    ]


MATCH = {"spiffeID": {"type": "Exact", "value": "spiffe://default/web"}}
FROM = current("by-tags", entry("Deny", kind="MeshSubset", tags={"kuma.io/service": "web"}))
RULES = current("by-id", rules=[{"default": {"allow": [MATCH]}}, {"default": {"deny": [MATCH]}}])


def test_rules_of_both_forms_are_shown_by_inbound() -> None:
    document = rules_document(PROXY, matcher(ALL, FROM, RULES), mtls=False)
    assert document["resource"] == {
        "type": "Dataplane", "mesh": MESH, "name": "backend-1", "labels": dict(PROXY.labels)
    }  # fmt: skip
    assert document["httpMatches"] == []
    (rule,) = document["rules"]
    inbound = {"name": "main", "port": 8080, "tags": HTTP["tags"]}
    origin = {"type": "MeshTrafficPermission", "mesh": MESH, "name": "by-tags", "labels": {}}
    assert rule["fromRules"] == [
        {
            "inbound": inbound,
            "rules": [
                {
                    "matchers": [{"key": "kuma.io/service", "value": "web", "not": False}],
                    "conf": {"action": "Deny"},
                    "origin": [origin],
                }
            ],
        }
    ]
    (of_inbound,) = rule["inboundRules"]
    assert of_inbound["inbound"] == inbound
    assert [one["conf"] for one in of_inbound["rules"]] == [[{"allow": [MATCH]}], [{"deny": [MATCH]}]]
    assert [one["origin"] for one in of_inbound["rules"]] == [
        [{"resourceMeta": {**origin, "name": "by-id"}, "ruleIndex": index}] for index in (0, 1)
    ]
    assert (rule["type"], rule["toRules"], rule["toResourceRules"]) == ("MeshTrafficPermission", [], [])
    assert rule["warnings"] == [NO_MTLS]
    assert rules_document(PROXY, matcher(FROM), mtls=True)["rules"][0]["warnings"] == []


def test_the_form_before_that() -> None:
    assert attachments_document(PROXY, matcher(ALL, FROM)) == {
        "total": 1,
        "items": [
            {
                "type": "ClientSubset",
                "name": "192.0.2.1:8080",
                "addresses": ["192.0.2.1:8080"],
                "service": "backend",
                "tags": HTTP["tags"],
                "policyType": "MeshTrafficPermission",
                "subset": {"kuma.io/service": "web"},
                "conf": {"action": "Deny"},
                "origins": [{"mesh": MESH, "name": "by-tags"}],
            }
        ],
    }


def test_the_policies_of_one_inbound() -> None:
    http, admin = matcher(ALL, FROM, RULES).of(PROXY)
    (found,) = inbound_policies_document(http)["policies"]
    assert found["kind"] == "MeshTrafficPermission"
    assert found["origins"] == [{"kri": "kri_mtp_default___by-tags_"}, {"kri": "kri_mtp_default___by-id_"}]
    assert [(rule["kri"], rule["conf"]) for rule in found["rules"]] == [
        ("kri_mtp_default___by-tags_", {"action": "Deny"}),
        ("kri_mtp_default___by-id_", {"allow": [MATCH]}),
        ("kri_mtp_default___by-id_", {"deny": [MATCH]}),
    ]
    assert inbound_policies_document(admin) == {"policies": []}


def test_the_layout_names_every_inbound_and_outbound() -> None:
    spec = PROXY.spec.model_dump(by_alias=True)
    spec["networking"]["outbound"] = [
        {"port": port, "tags": {"kuma.io/service": to}} for port, to in ((80, "backend"), (81, "nobody"))
    ]
    proxy = Resource(PROXY.key, Dataplane.model_validate(spec), PROXY.labels)
    grpc = {"port": 1, "tags": {"kuma.io/service": "backend", "kuma.io/protocol": "grpc"}}
    http = {"port": 1, "tags": {"kuma.io/service": "backend", "kuma.io/protocol": "http2"}}
    protocols = service_protocols([dataplane("x", [grpc]), dataplane("y", [http])], "east")
    assert layout_document(proxy, protocols) == {
        "kri": "kri_dp_default_east__backend-1_",
        "labels": dict(PROXY.labels),
        "inbounds": [
            {
                "kri": "kri_dp_default_east__backend-1_main",
                "port": 8080,
                "protocol": "tcp",
                "proxyResourceName": "inbound:192.0.2.1:8080",
            },
            {
                "kri": "kri_dp_default_east__backend-1_8081",
                "port": 8081,
                "protocol": "tcp",
                "proxyResourceName": "inbound:192.0.2.1:8081",
            },
        ],
        "outbounds": [
            {"kri": "", "port": 80, "protocol": "http2", "proxyResourceName": "outbound:127.0.0.1:80"},
            {"kri": "", "port": 81, "protocol": "tcp", "proxyResourceName": "outbound:127.0.0.1:81"},
        ],
    }


def test_inbounds_are_found_by_what_the_layout_calls_them() -> None:
    for inbound in layout_document(PROXY, {})["inbounds"]:
        found = inbound_of_kri(PROXY, inbound["kri"])
        assert found is not None
        assert found.port == inbound["port"]
    assert inbound_of_kri(PROXY, "kri_dp_default_east__backend-1_8082") is None
    assert inbound_of_kri(PROXY, "kri_dp_default_east__backend-2_main") is None


@pytest.mark.parametrize(
    "kri", ["", "id_dp_default_east__backend-1_main", "kri_mtp_default_east__backend-1_main", "kri_dp_x"]
)
def test_what_is_no_identifier_of_an_inbound(kri: str) -> None:
    with pytest.raises(NoIdentifier):
        inbound_of_kri(PROXY, kri)


def test_identifiers_of_outbounds() -> None:
    check_outbound_kri("kri_msvc_default_east__backend_80")
    for kri in ("", "kri_dp_default_east__web-1_80", "msvc_default_east__backend_80_x", "kri_msvc_x"):
        with pytest.raises(NoIdentifier):
            check_outbound_kri(kri)
