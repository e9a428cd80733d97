"""The configuration of a proxy as JSON, and what shadow policies would change."""

from __future__ import annotations

import base64
import json
from typing import Any

import jsonpatch
import pytest

from kumacp.api.inspect_config import ShadowPermission, config_document
from kumacp.policy.permission import inbound_rbac
from kumacp.xds.build import build
from kumacp.xds.model import AdminListener, AdminTls, CaSecret, IdentitySecret, LocalCluster, UnitInput
from kumamesh.xds import CLUSTER, LISTENER, SECRET
from permissions import MESH, dataplane, entry, mesh_traffic_permission, traffic_permission
from xds_cases import cases

KEY = b"-----BEGIN EC PRIVATE KEY-----\nMHcCAQEE\n-----END EC PRIVATE KEY-----\n"


def configuration(*units: UnitInput) -> Any:
    found: dict[str, Any] = {CLUSTER: {}, LISTENER: {}, SECRET: {}}
    for unit in units:
        found.setdefault(unit.type_url, {})[unit.name] = build(unit)
    return found


def cluster(port: int, protocol: str = "http") -> LocalCluster:
    return LocalCluster(address="127.0.0.1", port=port, protocol=protocol)


def test_resources_stand_under_their_type_and_name() -> None:
    document = config_document(configuration(cluster(81), cluster(80)))
    assert list(document) == ["xds"]
    assert list(document["xds"]) == [CLUSTER]
    assert list(document["xds"][CLUSTER]) == ["localhost:80", "localhost:81"]
    assert document["xds"][CLUSTER]["localhost:80"]["name"] == "localhost:80"
    assert document["xds"][CLUSTER]["localhost:80"]["type"] == "STATIC"


@pytest.mark.parametrize("name", sorted(cases()))
def test_everything_that_is_built_can_be_shown(name: str) -> None:
    unit = cases()[name]
    (shown,) = config_document(configuration(unit))["xds"][unit.type_url].values()
    assert shown.get("name", shown.get("clusterName")) == unit.name


def test_no_key_and_no_content_of_a_secret_is_shown() -> None:
    tls = AdminTls(b"certificate", KEY, b"ca")
    document = config_document(
        configuration(
            IdentitySecret(MESH, b"the chain", KEY),
            CaSecret(MESH, b"the root"),
            AdminListener("10.0.0.1", 9901, tls, reuse_port=False),
        )
    )
    text = json.dumps(document)
    for secret in (KEY, b"the chain", b"the root"):
        assert base64.b64encode(secret).decode() not in text
    assert sorted(document["xds"][SECRET]) == [f"identity_cert:secret:{MESH}", f"mesh_ca:secret:{MESH}"]
    assert base64.b64encode(b"certificate").decode() in text


def test_the_difference_is_a_patch_from_what_is_to_what_is_wanted() -> None:
    present = configuration(cluster(80), cluster(81))
    wanted = configuration(cluster(80, "tcp"), cluster(82))
    document = config_document(wanted, present)
    assert document["diff"]
    assert jsonpatch.apply_patch(config_document(present)["xds"], document["diff"]) == document["xds"]
    assert all(step["path"].startswith("/type.googleapis.com~1") for step in document["diff"])
    assert config_document(wanted, wanted)["diff"] == []


def test_shadow_policies_decide_only_where_they_are_inspected() -> None:
    proxy = dataplane("backend-1", [{"port": 80, "tags": {"kuma.io/service": "backend"}}])
    (inbound,) = proxy.spec.networking.inbound
    allow = traffic_permission("all", [{"kuma.io/service": "*"}])
    deny = mesh_traffic_permission("deny", {"from": [entry("Deny")]}, {"kuma.io/effect": "shadow"})

    def decided(permission: Any) -> Any:
        return permission(
            MESH, proxy, inbound, traffic_permissions=(allow,), mesh_traffic_permissions=(deny,), http=False
        )

    assert decided(inbound_rbac).allow
    assert not decided(ShadowPermission()).allow
    shadow = ShadowPermission()
    assert decided(shadow) == decided(shadow)
