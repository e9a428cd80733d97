"""Identity and metadata of proxies: whatever a node says, it is understood or refused, never a fault."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.dpserver.node import ProxyType, parse_node, presentable, without_token
from kumacp.dpserver.refusal import Refused, Status
from kumacp.xds.model import Redirection
from kumacp.xds.transparent import DEFAULT_REDIRECTION
from kumamesh.resource import ResourceKey

JSON = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)
KEYS = (
    "dataplane.admin.port",
    "dataplane.admin.address",
    "dataplane.resource",
    "dataplane.readinessReporter.port",
    "features",
    "version",
    "workdir",
    "ipv6Enabled",
    "dataplane.dns.port",
    "transparentProxy",
)


def test_redirection_that_cannot_be_read_leaves_the_word_to_the_dataplane() -> None:
    assert parse_node("default.web-1", {"transparentProxy": "on"}).proxy.redirection is None


def test_metadata_of_a_sidecar() -> None:
    node = parse_node(
        "default.web.1",
        {
            "dataplane.admin.port": "9901",
            "dataplane.admin.address": "0.0.0.0",
            "dataplane.readinessReporter.port": "9902",
            "dataplane.resource": json.dumps({"type": "Dataplane"}),
            "features": ["feature-delta-grpc", "feature-reuse-port"],
            "workdir": "/run/kuma",
            "ipv6Enabled": False,
            "dataplane.dns.port": "15054",
            "transparentProxy": {
                "ipFamilyMode": "ipv4",
                "redirect": {
                    "inbound": {"enabled": True, "port": 15006.0},
                    "outbound": {"enabled": True, "port": 15001.0},
                },
            },
        },
    )
    assert node.key == ResourceKey("Dataplane", "default", "web.1")
    assert node.resource == {"type": "Dataplane"}
    assert node.proxy.features == {"feature-delta-grpc", "feature-reuse-port"}
    assert (node.proxy.admin_address, node.proxy.admin_port) == ("0.0.0.0", 9901)
    assert (node.proxy.readiness_port, node.proxy.workdir) == (9902, "/run/kuma")
    assert not node.proxy.ipv6_enabled
    assert node.proxy.dns_port == 15054
    assert node.proxy.redirection == Redirection(15001, 15006, ipv6=False)


def test_metadata_that_is_absent_has_defaults() -> None:
    node = parse_node("default.web-1", {})
    assert node.proxy_type is ProxyType.DATAPLANE
    assert (node.proxy.dns_port, node.proxy.redirection) == (0, DEFAULT_REDIRECTION)
    assert node.proxy.ipv6_enabled
    assert node.resource is None


@pytest.mark.parametrize("port", ["", "-1", "1e3", "65536", "٣", "123456", 9901.0, None])
def test_a_bad_port_is_zero(port: Any) -> None:
    assert parse_node("default.web-1", {"dataplane.admin.port": port}).proxy.admin_port == 0


@pytest.mark.parametrize(("kind", "type_"), [("ingress", "ZoneIngress"), ("egress", "ZoneEgress")])
def test_zone_proxies_have_no_mesh(kind: str, type_: str) -> None:
    metadata = {"dataplane.proxyType": kind}
    assert parse_node(".in-1", metadata).key == ResourceKey(type_, "", "in-1")
    with pytest.raises(Refused, match="valid Proxy ID") as caught:
        parse_node("default.in-1", metadata)
    assert caught.value.status is Status.INVALID_ARGUMENT


@given(st.dictionaries(st.sampled_from(KEYS), JSON))
def test_any_metadata_is_understood(metadata: dict[str, Any]) -> None:
    node = parse_node("default.web-1", metadata)
    assert 0 <= node.proxy.admin_port <= 65_535


@given(st.text())
def test_any_node_id_is_an_identity_or_refused(node_id: str) -> None:
    with suppress(Refused):
        node = parse_node(node_id, {})
        assert f"{node.key.mesh}.{node.key.name}" == node_id


@given(JSON)
def test_a_token_is_taken_out_wherever_it_is(value: Any) -> None:
    wrapped = {"deep": [value, "Bearer s3cr3t.s3cr3t", {"x": "s3cr3t.s3cr3t"}]}
    assert "s3cr3t.s3cr3t" not in repr(without_token(wrapped, "s3cr3t.s3cr3t"))
    assert without_token(value, "") == value


def test_what_is_shown_of_the_metadata_is_bounded() -> None:
    metadata = {"dataplane.resource": "x" * 10_000_000, "version": {"a": "s3cr3t"}}
    assert presentable(metadata, "s3cr3t") == {"version": {"a": "*****"}}
