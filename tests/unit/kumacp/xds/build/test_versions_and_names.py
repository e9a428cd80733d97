"""A resource has the name that its input promised, and a version that is its content's."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2

from kumacp.xds.build import build
from kumacp.xds.model import IdentitySecret, ServiceCluster, ServiceEndpoints, cluster_name
from kumacp.xds.name_table import DynamicConfig, Page, Record, name_table
from kumamesh import xds
from xds_cases import NAMES, cases, inbound, outbound

CASES = cases()
READ_NAME = {
    xds.CLUSTER: lambda body: cluster_pb2.Cluster.FromString(body).name,
    xds.ENDPOINT: lambda body: endpoint_pb2.ClusterLoadAssignment.FromString(body).cluster_name,
    xds.EXTENSION: lambda body: extension_pb2.TypedExtensionConfig.FromString(body).name,
    xds.LISTENER: lambda body: listener_pb2.Listener.FromString(body).name,
    xds.SECRET: lambda body: secret_pb2.Secret.FromString(body).name,
}


@pytest.mark.parametrize("case", CASES)
def test_resource_is_named_as_its_input(case: str) -> None:
    unit = CASES[case]
    resource = build(unit)
    assert (resource.type_url, resource.name) == (unit.type_url, unit.name)
    assert READ_NAME[resource.type_url](resource.body) == unit.name


@pytest.mark.parametrize("case", CASES)
def test_equal_inputs_give_equal_bytes_and_versions(case: str) -> None:
    one, other = build(CASES[case]), build(cases()[case])
    assert (one.version, one.body) == (other.version, other.body)


def test_what_every_proxy_has_of_its_own_holds_no_text_and_tells_texts_apart() -> None:
    unit = CASES["dynamic_config"]
    assert isinstance(unit, DynamicConfig)
    resource, elsewhere = build(unit), build(replace(unit, pipe="/run/other.sock"))
    assert not isinstance(resource.content, bytes)
    assert resource.body == resource.body
    assert resource.version != elsewhere.version
    changed = name_table([Record("other.mesh", ("240.0.0.9",))])
    page = Page("/dns", changed.etag, changed.document)
    assert build(replace(unit, pages=(page,))).version != resource.version
    assert sys.getsizeof(elsewhere) + sys.getsizeof(elsewhere.content) < len(elsewhere.body)


def test_names_that_are_equal_are_one_input() -> None:
    one, other = name_table(NAMES.records), name_table(iter(NAMES.records))
    assert (one, hash(one)) == (other, hash(other))
    assert one != name_table(NAMES.records[1:])
    assert NAMES.document not in repr(one)


def test_version_changes_with_the_content() -> None:
    version = build(outbound(21000, "http")).version
    assert build(outbound(21000, "grpc")).version != version
    assert build(outbound(21000, "http", reuse_port=False)).version != version


def test_assignment_changes_version_with_its_cluster_but_not_its_bytes() -> None:
    one = build(ServiceEndpoints("backend", (), "1"))
    other = build(ServiceEndpoints("backend", (), "2"))
    assert one.body == other.body
    assert one.version != other.version


def test_order_of_endpoints_does_not_matter() -> None:
    unit = CASES["endpoints_of_zones"]
    assert isinstance(unit, ServiceEndpoints)
    assert build(unit) == build(replace(unit, endpoints=unit.endpoints[::-1]))


def test_outbound_with_tags_leads_to_the_cluster_of_those_tags() -> None:
    listener = outbound(21000, "http", tags=(("kuma.io/service", "backend"), ("version", "v1")))
    cluster = ServiceCluster("default", "backend", "http", tls=True, tags=listener.cluster_tags)
    assert listener.cluster == cluster.name == cluster_name("backend", (("version", "v1"),))
    assert ServiceEndpoints("backend", (), "", tags=listener.cluster_tags).name == cluster.name
    assert cluster.name != cluster_name("backend", (("version", "v2"),))


def test_outbound_without_further_tags_leads_to_the_cluster_of_the_service() -> None:
    assert outbound(21000, "http").cluster == cluster_name("backend") == "backend"


def test_private_keys_are_not_shown() -> None:
    assert "KEY" not in repr(IdentitySecret("default", b"CERTIFICATE", b"KEY"))


def test_listener_names_have_brackets_around_ipv6() -> None:
    assert build(inbound(80, "tcp", address="2001:db8::1")).name == "inbound:[2001:db8::1]:80"
