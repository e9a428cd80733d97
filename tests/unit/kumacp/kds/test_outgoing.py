"""What of a resource is told to whom, and in which form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from kumacp.kds.exchange.outgoing import to_global, to_zone
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import HASH_SUFFIX, NODE_FEATURES, OPTIONAL_TARGET_REF
from kumamesh import tokens
from kumamesh.names import DISPLAY_NAME_LABEL, ORIGIN_LABEL, ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight, DiscoverySubscription
from kumamesh.resources.permission import MeshTrafficPermission, TargetRef
from kumamesh.resources.registry import TYPES
from kumamesh.resources.secret import GlobalSecret
from kumamesh.resources.zone import ZoneIngress

OF_ZONE_2 = {ORIGIN_LABEL: "zone", ZONE_LABEL: "zone-2", DISPLAY_NAME_LABEL: "i"}
ROLE = "kuma.io/policy-role"


def a(type_: str, name: str = "i", labels: Mapping[str, str] | None = None, spec: Any = None) -> Resource:
    mesh = "default" if TYPES[type_].mesh_scoped else ""
    return Resource(ResourceKey(type_, mesh, name), spec or TYPES[type_].spec(), labels or {})


def down(
    resource: Resource,
    zone: str = "zone-1",
    features: frozenset[str] = NODE_FEATURES,
    disabled: tuple[str, ...] = (),
    hidden: tuple[str, ...] = (),
) -> Resource | None:
    return to_zone(resource, zone, features, lambda name: name not in disabled, hidden_labels=hidden)


def shown(resource: Resource | None) -> Resource:
    assert resource is not None
    return resource


def test_a_zone_gets_what_global_made_under_a_name_of_its_own() -> None:
    got = shown(down(a("TrafficPermission", "all", {"team": "x"})))
    assert got.key == ResourceKey("TrafficPermission", "default", synced_name("default", "all", {}))
    assert got.labels == {"team": "x", ORIGIN_LABEL: "global", DISPLAY_NAME_LABEL: "all"}
    assert shown(down(a("TrafficPermission", "all", {ORIGIN_LABEL: "global"}))).key == got.key


@pytest.mark.parametrize("type_", ["Mesh", "Secret", "GlobalSecret"])
def test_some_types_keep_their_names(type_: str) -> None:
    got = shown(down(a(type_, "x")))
    assert (got.name, got.labels) == ("x", {ORIGIN_LABEL: "global"})


def test_a_zone_that_knows_no_suffixes_gets_names_as_they_are() -> None:
    got = shown(down(a("TrafficPermission", "all"), features=NODE_FEATURES - {HASH_SUFFIX}))
    assert (got.name, got.labels) == ("all", {ORIGIN_LABEL: "global"})


@pytest.mark.parametrize(
    "type_", ["Dataplane", "DataplaneInsight", "ZoneEgress", "Zone", "ZoneInsight", "MeshInsight"]
)
def test_types_that_no_zone_gets(type_: str) -> None:
    assert down(a(type_)) is None
    assert down(a(type_, labels=OF_ZONE_2)) is None


def test_ingresses_go_to_the_other_zones_with_the_name_that_they_have_on_global() -> None:
    own = a("ZoneIngress", spec=ZoneIngress(zone="zone-2"))
    on_global = shown(to_global(own, "zone-2"))
    got = shown(down(on_global))
    assert got.name == on_global.name == synced_name("", "i", {ZONE_LABEL: "zone-2"})
    assert got.labels == {ORIGIN_LABEL: "global", ZONE_LABEL: "zone-2", DISPLAY_NAME_LABEL: "i"}
    assert down(on_global, zone="zone-2") is None
    assert down(on_global, disabled=("zone-2",)) is None
    assert down(on_global, disabled=("zone-1",)) is not None
    assert down(a("ZoneIngress")) is None
    assert down(a("ZoneIngress", labels={ORIGIN_LABEL: "zone"})) is None


def test_policies_of_zones_are_only_for_callers_of_their_services() -> None:
    plain = MeshTrafficPermission(target_ref=TargetRef(kind="Mesh"))
    assert down(a("MeshTrafficPermission", labels=OF_ZONE_2, spec=plain)) is None
    # The label alone is not believed: a permission says nothing of what its services are called with.
    assert down(a("MeshTrafficPermission", labels={**OF_ZONE_2, ROLE: "producer"}, spec=plain)) is None
    assert down(a("MeshTrafficPermission", labels={ROLE: "system"}, spec=plain)) is not None
    assert down(a("TrafficPermission", labels=OF_ZONE_2)) is None


def test_policies_for_all_need_a_zone_that_understands_them() -> None:
    policy = a("MeshTrafficPermission")
    assert down(policy) is not None
    assert down(policy, features=NODE_FEATURES - {OPTIONAL_TARGET_REF}) is None
    with_target = a("MeshTrafficPermission", spec=MeshTrafficPermission(target_ref=TargetRef(kind="Mesh")))
    assert down(with_target, features=NODE_FEATURES - {OPTIONAL_TARGET_REF}) is not None


def test_the_label_keeps_a_resource_at_home() -> None:
    labels = {"kuma.io/kds-sync": "disabled"}
    assert down(a("Mesh", labels=labels)) is None
    assert to_global(a("Dataplane", labels=labels), "zone-1") is None
    assert down(a("Mesh", labels={"kuma.io/kds-sync": "enabled"})) is not None


def test_labels_with_certain_beginnings_are_left_out() -> None:
    labels = {"argocd.io/app": "x", "team": "y", DISPLAY_NAME_LABEL: "other"}
    got = shown(down(a("TrafficPermission", "all", labels), hidden=("argocd.", "kuma.io/display")))
    assert got.labels == {"team": "y", ORIGIN_LABEL: "global", DISPLAY_NAME_LABEL: "other"}
    assert got.name == synced_name("default", "other", {})


@pytest.mark.parametrize(
    "name",
    [
        "envoy-admin-ca",
        "admin-user-token",
        "inter-cp-ca",
        "user-token-revocations",
        "user-token-signing-key",
        "user-token-signing-key-1",
        "zone-token-signing-key",
        "zone-token-signing-key-x",
        "zone-token-signing-key-1",  # not readable as a key
    ],
)
def test_secrets_that_stay_with_global(name: str) -> None:
    assert down(a("GlobalSecret", name, spec=GlobalSecret(data=b"x"))) is None


def test_secrets_that_zones_need() -> None:
    for name in ("zone-token-revocations", "anything"):
        assert down(a("GlobalSecret", name)) is not None
    assert down(a("Secret", "envoy-admin-ca")) is not None


def test_of_keys_for_zone_tokens_the_public_half_is_told() -> None:
    key = tokens.generate_signing_key()
    got = shown(down(a("GlobalSecret", "zone-token-signing-key-3", spec=GlobalSecret(data=key))))
    assert got.name == "zone-token-signing-public-key-3"
    assert got.spec.data == tokens.public_pem(key)
    assert b"PRIVATE" not in got.spec.data


def test_of_configs_only_the_id_of_global_is_told() -> None:
    assert down(a("Config", "kuma-cluster-id")) is not None
    assert down(a("Config", "kuma-global-cluster-id")) is None
    assert down(a("Config", "dns-vip-default")) is None


def test_global_gets_what_the_zone_made() -> None:
    labels = {"team": "x", "kuma.io/deletion-grace-period-started-at": "now"}
    got = shown(to_global(a("Dataplane", "dp-1", labels), "zone-1"))
    assert got.key == ResourceKey("Dataplane", "default", "dp-1-dff6z597w47d46xx")
    assert got.labels == {
        "team": "x",
        ORIGIN_LABEL: "zone",
        ZONE_LABEL: "zone-1",
        DISPLAY_NAME_LABEL: "dp-1",
    }
    assert to_global(a("Dataplane", "dp-1", got.labels), "zone-1") == got
    assert to_global(a("Dataplane", "dp-1", {ORIGIN_LABEL: "global"}), "zone-1") is None


@pytest.mark.parametrize("type_", ["Mesh", "Secret", "TrafficPermission", "Config", "ServiceInsight", "Zone"])
def test_types_that_global_never_gets(type_: str) -> None:
    assert to_global(a(type_), "zone-1") is None


def test_insights_are_told_without_the_count_of_their_writes() -> None:
    def insight(generation: int) -> Resource:
        subscription = DiscoverySubscription(id="1", generation=generation)
        return a("DataplaneInsight", spec=DataplaneInsight(subscriptions=(subscription,)))

    assert to_global(insight(7), "zone-1") == to_global(insight(0), "zone-1")
