"""Filter chains of inbounds and outbounds: which there are, in which order, and what stands in them."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.core.v3 import extension_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2

from kumacp.xds.build import build
from kumacp.xds.model import (
    MatcherRbac,
    PrincipalPolicy,
    PrincipalRbac,
    SourceTags,
    SpiffeRule,
    Tags,
    TlsMode,
    UriMatch,
)
from xds_cases import inbound, outbound

WEB = UriMatch("spiffe://default/web")
OF_TRAFFIC_PERMISSION = PrincipalRbac((PrincipalPolicy("tp", ((WEB,),)),))
OF_HTTP = PrincipalRbac((PrincipalPolicy("MeshTrafficPermission", ((WEB,),)),), http=True)


def listener(unit: Any) -> Any:
    return listener_pb2.Listener.FromString(build(unit).body)


def short_names(filters: Any) -> list[str]:
    return [one.name.rpartition(".")[2] for one in filters]


def chains(unit: Any) -> list[list[str]]:
    return [short_names(chain.filters) for chain in listener(unit).filter_chains]


def manager(filters: Any) -> Any:
    found = hcm_pb2.HttpConnectionManager()
    assert filters[-1].typed_config.Unpack(found)
    return found


def tcp_proxy(filters: Any) -> Any:
    found = tcp_proxy_pb2.TcpProxy()
    assert filters[-1].typed_config.Unpack(found)
    return found


@pytest.mark.parametrize("protocol", ["http", "http2", "grpc"])
def test_http_family_is_taken_apart(protocol: str) -> None:
    assert chains(inbound(80, protocol)) == [["http_connection_manager"]]
    assert chains(outbound(80, protocol)) == [["http_connection_manager"]]


@pytest.mark.parametrize("protocol", ["tcp", "tls", "kafka"])
def test_other_protocols_are_passed_on(protocol: str) -> None:
    assert chains(inbound(80, protocol)) == [["tcp_proxy"]]
    assert chains(outbound(80, protocol)) == [["tcp_proxy"]]


def test_without_mtls_there_is_no_rbac_and_no_tls() -> None:
    made = listener(inbound(80, "http", rbac=OF_HTTP))
    assert len(made.filter_chains) == 1
    assert not made.filter_chains[0].HasField("transport_socket")
    assert short_names(manager(made.filter_chains[0].filters).http_filters) == ["router"]


def test_strict_has_one_chain_with_tls() -> None:
    made = listener(inbound(80, "tcp", tls=TlsMode.STRICT, rbac=OF_TRAFFIC_PERMISSION))
    assert len(made.filter_chains) == 1
    assert made.filter_chains[0].HasField("transport_socket")
    assert not made.filter_chains[0].HasField("filter_chain_match")
    assert not made.listener_filters


def test_permissive_has_three_chains_in_order_and_rbac_only_behind_mesh_tls() -> None:
    unit = inbound(80, "http", tls=TlsMode.PERMISSIVE, rbac=OF_TRAFFIC_PERMISSION)
    made = listener(unit)
    matches = [
        (chain.filter_chain_match.transport_protocol, list(chain.filter_chain_match.application_protocols))
        for chain in made.filter_chains
    ]
    assert matches == [("raw_buffer", []), ("tls", []), ("tls", ["kuma"])]
    assert [chain.HasField("transport_socket") for chain in made.filter_chains] == [False, False, True]
    assert chains(unit) == [["http_connection_manager"], ["tcp_proxy"], ["rbac", "http_connection_manager"]]
    assert short_names(made.listener_filters) == ["tls_inspector"]


def test_http_rbac_is_the_first_http_filter() -> None:
    made = listener(inbound(80, "grpc", tls=TlsMode.STRICT, rbac=OF_HTTP))
    filters = made.filter_chains[0].filters
    assert short_names(filters) == ["http_connection_manager"]
    assert short_names(manager(filters).http_filters) == ["rbac", "grpc_stats", "router"]


def test_http_rbac_of_a_tcp_inbound_is_a_network_filter() -> None:
    assert chains(inbound(80, "tcp", tls=TlsMode.STRICT, rbac=OF_HTTP)) == [["rbac", "tcp_proxy"]]


def test_mtls_without_a_policy_denies() -> None:
    unknown = listener(inbound(80, "tcp", tls=TlsMode.STRICT, rbac=None))
    nobody = listener(inbound(80, "tcp", tls=TlsMode.STRICT, rbac=PrincipalRbac(())))
    assert unknown == nobody
    assert short_names(unknown.filter_chains[0].filters) == ["rbac", "tcp_proxy"]


def test_tls_inspector_is_there_for_rules_with_a_server_name_only() -> None:
    def inspectors(match: UriMatch) -> list[str]:
        rbac = MatcherRbac((SpiffeRule("kri", allow_with_shadow_deny=(match,)),))
        return short_names(listener(inbound(80, "tcp", tls=TlsMode.STRICT, rbac=rbac)).listener_filters)

    assert inspectors(WEB) == []
    assert inspectors(UriMatch("", server_name="a.mesh")) == ["tls_inspector"]


def test_inbound_manager_tells_the_client_and_hides_the_tags() -> None:
    found = manager(listener(inbound(80, "http")).filter_chains[0].filters)
    assert found.forward_client_cert_details == hcm_pb2.HttpConnectionManager.SANITIZE_SET
    assert found.set_current_client_cert_details.uri
    assert list(found.route_config.request_headers_to_remove) == ["x-kuma-tags"]
    route = found.route_config.virtual_hosts[0].routes[0].route
    assert (route.cluster, route.timeout.seconds) == ("localhost:8080", 0)
    assert not route.HasField("retry_policy")
    assert (found.stat_prefix, found.route_config.name) == ("localhost_8080", "inbound:backend")


def header(tags: Tags) -> Any:
    """What happens to the header of a request."""
    config = extension_pb2.TypedExtensionConfig.FromString(build(SourceTags(tags)).body)
    found = header_mutation_pb2.HeaderMutation()
    assert config.name == "kuma:source-tags"
    assert config.typed_config.Unpack(found)
    (mutation,) = found.mutations.request_mutations
    return mutation


def test_the_tags_of_the_source_overwrite_what_the_application_says() -> None:
    option = header((("kuma.io/service", "web,web-api"), ("version", "v1"))).append
    assert option.header.key == "x-kuma-tags"
    assert option.header.value == "&kuma.io/service=web,web-api&&version=v1&"
    assert option.append_action == option.OVERWRITE_IF_EXISTS_OR_ADD
    assert header(()).remove == "x-kuma-tags"


@pytest.mark.parametrize(
    ("external", "filters"),
    [(False, ["kuma:source-tags", "envoy.filters.http.router"]), (True, ["envoy.filters.http.router"])],
)
def test_outbounds_take_the_tags_of_the_source_from_their_own_resource(
    external: bool, filters: list[str]
) -> None:
    found = manager(listener(outbound(80, "http", external=external)).filter_chains[0].filters)
    assert [one.name for one in found.http_filters] == filters
    if not external:
        (kind,) = found.http_filters[0].config_discovery.type_urls
        assert kind.endswith(".header_mutation.v3.HeaderMutation")
        assert found.http_filters[0].config_discovery.config_source.HasField("ads")


def test_outbound_manager_retries() -> None:
    found = manager(listener(outbound(80, "http")).filter_chains[0].filters)
    route = found.route_config.virtual_hosts[0].routes[0].route
    assert (route.cluster, route.timeout.seconds) == ("backend", 15)
    assert route.retry_policy.retry_on == "connect-failure,refused-stream,gateway-error"
    assert route.retry_policy.num_retries.value == 5
    assert (found.stat_prefix, found.route_config.name) == ("backend", "outbound:backend")


def test_grpc_is_retried_when_the_peer_says_that_its_application_is_gone() -> None:
    found = manager(listener(outbound(80, "grpc")).filter_chains[0].filters)
    retry_on = found.route_config.virtual_hosts[0].routes[0].route.retry_policy.retry_on
    assert retry_on == "connect-failure,refused-stream,gateway-error,unavailable"


def test_tcp_outbound_tries_to_connect_five_times() -> None:
    found = tcp_proxy(listener(outbound(80, "tcp")).filter_chains[0].filters)
    assert found.cluster == "backend"
    assert (found.cluster, found.max_connect_attempts.value, found.idle_timeout.seconds) == (
        "backend",
        5,
        3600,
    )


def test_tcp_inbound_is_idle_for_twice_as_long_and_connects_once() -> None:
    found = tcp_proxy(listener(inbound(80, "tcp")).filter_chains[0].filters)
    assert (found.cluster, found.idle_timeout.seconds) == ("localhost:8080", 7200)
    assert not found.HasField("max_connect_attempts")


@pytest.mark.parametrize("unit", [inbound(80, "http", ipv6=False), outbound(80, "http", ipv6=False)])
def test_without_ipv6_only_ipv4_ranges_are_internal(unit: Any) -> None:
    ranges = manager(listener(unit).filter_chains[0].filters).internal_address_config.cidr_ranges
    assert [(one.address_prefix, one.prefix_len.value) for one in ranges] == [
        ("10.0.0.0", 8),
        ("192.168.0.0", 16),
        ("172.16.0.0", 12),
        ("127.0.0.1", 32),
    ]


def test_listeners_carry_direction_tags_and_reuse_port() -> None:
    inner, outer = listener(inbound(80, "tcp")), listener(outbound(80, "tcp", reuse_port=False))
    assert (inner.traffic_direction, outer.traffic_direction) == (1, 2)
    assert inner.metadata.filter_metadata["io.kuma.tags"]["version"] == "v1"
    assert outer.metadata.filter_metadata["io.kuma.tags"]["kuma.io/service"] == "backend"
    assert inner.enable_reuse_port.value
    assert not outer.enable_reuse_port.value
    assert outer.HasField("enable_reuse_port")
