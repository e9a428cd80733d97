"""Clusters: services of the mesh, and the application's own ports (contract 5.2, 5.3); what others share."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import circuit_breaker_pb2, cluster_pb2
from envoy.config.core.v3 import address_pb2, protocol_pb2
from envoy.config.endpoint.v3 import endpoint_components_pb2, endpoint_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from kumacp.xds.build import defaults, tls
from kumacp.xds.build.http import HTTP_PROTOCOLS
from kumacp.xds.build.messages import address, from_ads, pack, seconds, stat_name, struct, uint32
from kumacp.xds.model import LocalCluster, ServiceCluster
from kumamesh import names

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_HttpOptions = http_protocol_options_pb2.HttpProtocolOptions


def service_cluster(unit: ServiceCluster) -> Any:
    cluster = eds_cluster(unit.name)
    if unit.protocol in HTTP_PROTOCOLS:
        # The peer is a sidecar, which takes HTTP/2 whatever its application speaks.
        most = defaults.MAX_REQUESTS_TO_OTHER_ZONES if unit.edges else 0
        options = _http_options(2, defaults.IDLE_TIMEOUT, max_requests=most)
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(options)
    if unit.tls:
        cluster.transport_socket.CopyFrom(tls.upstream(unit))
    elif unit.edges:
        cluster.transport_socket_matches.append(_edge_socket(unit))
    return cluster


def eds_cluster(name: str) -> Any:
    """A cluster whose endpoints come by EDS."""
    return cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.EDS,
        connect_timeout=seconds(defaults.CONNECT_TIMEOUT),
        eds_cluster_config=cluster_pb2.Cluster.EdsClusterConfig(eds_config=from_ads()),
        circuit_breakers=limits(),
    )


def local_cluster(unit: LocalCluster) -> Any:
    cluster = static_cluster(unit.name, address(unit.address, unit.port), defaults.INBOUND_CONNECT_TIMEOUT)
    cluster.alt_stat_name = stat_name(unit.name)
    if unit.source:
        cluster.upstream_bind_config.CopyFrom(bound_to(unit.source))
    speak(cluster, unit.protocol, defaults.INBOUND_IDLE_TIMEOUT)
    return cluster


def static_cluster(name: str, endpoint: Any, connect_timeout_s: float) -> Any:
    """A cluster of one endpoint that is known beforehand."""
    host = endpoint_components_pb2.LbEndpoint(endpoint=endpoint_components_pb2.Endpoint(address=endpoint))
    return cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.STATIC,
        connect_timeout=seconds(connect_timeout_s),
        load_assignment=endpoint_pb2.ClusterLoadAssignment(
            cluster_name=name,
            endpoints=[endpoint_components_pb2.LocalityLbEndpoints(lb_endpoints=[host])],
        ),
    )


def original_destination(name: str) -> Any:
    """A cluster of whatever address a redirected connection was meant for."""
    return cluster_pb2.Cluster(
        name=name,
        type=cluster_pb2.Cluster.ORIGINAL_DST,
        lb_policy=cluster_pb2.Cluster.CLUSTER_PROVIDED,
        connect_timeout=seconds(defaults.CONNECT_TIMEOUT),
    )


def limits() -> Any:
    """Circuit breakers of whatever the application calls."""
    return circuit_breaker_pb2.CircuitBreakers(
        thresholds=[
            circuit_breaker_pb2.CircuitBreakers.Thresholds(
                max_connections=uint32(defaults.MAX_CONNECTIONS),
                max_pending_requests=uint32(defaults.MAX_PENDING_REQUESTS),
                max_requests=uint32(defaults.MAX_REQUESTS),
                max_retries=uint32(defaults.MAX_RETRIES),
            )
        ]
    )


def bound_to(source: str) -> Any:
    """Connections come from this address, and any port."""
    return address_pb2.BindConfig(source_address=address_pb2.SocketAddress(address=source, port_value=0))


def speak(cluster: Any, protocol: str, idle_timeout_s: float) -> None:
    """Have the cluster speak the HTTP version that the protocol is; for others nothing."""
    if protocol in HTTP_PROTOCOLS:
        options = _http_options(1 if protocol == "http" else 2, idle_timeout_s)
        cluster.typed_extension_protocol_options[_HTTP_OPTIONS].CopyFrom(options)


def _edge_socket(unit: ServiceCluster) -> Any:
    """mTLS for the endpoints that lead out of the zone; the others are called in plain text."""
    return cluster_pb2.Cluster.TransportSocketMatch(
        name=names.EDGE_MATCH,
        match=struct({names.EDGE_MATCH: names.EDGE_VALUE}),
        transport_socket=tls.upstream(unit),
    )


def _http_options(version: int, idle_timeout_s: float, *, max_requests: int = 0) -> Any:
    """`max_requests` of one connection, 0 for any number."""
    if version == 2:
        explicit = _HttpOptions.ExplicitHttpConfig(http2_protocol_options=protocol_pb2.Http2ProtocolOptions())
    else:
        explicit = _HttpOptions.ExplicitHttpConfig(http_protocol_options=protocol_pb2.Http1ProtocolOptions())
    return pack(
        _HttpOptions(
            common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
                idle_timeout=seconds(idle_timeout_s),
                max_requests_per_connection=uint32(max_requests) if max_requests else None,
            ),
            explicit_http_config=explicit,
        )
    )
