"""Ways out of the mesh: external services and passthrough (contract 5.3, 5.10)."""

from __future__ import annotations

from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from google.protobuf.struct_pb2 import Struct

from kumacp.xds.build import defaults, tls
from kumacp.xds.build.clusters import bound_to, limits, original_destination, speak
from kumacp.xds.build.endpoints import assignment
from kumacp.xds.build.filters import chain, tcp_proxy
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.build.messages import seconds, stat_name
from kumacp.xds.edge.outside import OutsideCluster
from kumacp.xds.model import Tags
from kumacp.xds.outside import (
    ExternalCluster,
    ExternalTls,
    NoDestinationCluster,
    PassthroughCluster,
    PassthroughListener,
)
from kumamesh.names import NO_DESTINATION_CLUSTER, NO_PORT
from kumamesh.resources.rules.common import is_ip

_Cluster = cluster_pb2.Cluster


def external_cluster(unit: ExternalCluster | OutsideCluster) -> Any:
    """A mixture of IPs and names is resolved like names; Kuma refuses the whole service."""
    static = all(is_ip(endpoint.at.address) for endpoint in unit.endpoints)
    cluster = _Cluster(
        name=unit.name,
        type=_Cluster.STATIC if static else _Cluster.STRICT_DNS,
        connect_timeout=seconds(defaults.CONNECT_TIMEOUT),
        circuit_breakers=limits(),
        load_assignment=assignment(unit.name, [endpoint.at for endpoint in unit.endpoints]),
        transport_socket_matches=[
            _socket_match(endpoint.at.address, endpoint.at.tags, endpoint.tls, unit.system_ca)
            for endpoint in unit.endpoints
            if endpoint.tls is not None
        ],
    )
    if not static:
        cluster.dns_lookup_family = _Cluster.AUTO if unit.ipv6 else _Cluster.V4_ONLY
    speak(cluster, unit.protocol, defaults.IDLE_TIMEOUT)
    return cluster


def _socket_match(name: str, tags: Tags, socket: ExternalTls, system_ca: str) -> Any:
    """For the endpoint with these tags, one of which no other has. Endpoints without TLS match none."""
    match = Struct()
    match.update(dict(tags))
    return _Cluster.TransportSocketMatch(
        name=name, match=match, transport_socket=tls.external(socket, system_ca)
    )


def passthrough_cluster(unit: PassthroughCluster) -> Any:
    cluster = original_destination(unit.name)
    cluster.alt_stat_name = stat_name(unit.name)
    if unit.source:
        cluster.upstream_bind_config.CopyFrom(bound_to(unit.source))
    return cluster


def no_destination_cluster(unit: NoDestinationCluster) -> Any:
    return _Cluster(name=unit.name, type=_Cluster.STATIC, connect_timeout=seconds(defaults.CONNECT_TIMEOUT))


def passthrough_listener(unit: PassthroughListener) -> Any:
    chains = [
        chain([_tcp(unit, NO_DESTINATION_CLUSTER if port == NO_PORT else unit.name)], port=port)
        for port in unit.ports
    ]
    return make_listener(
        unit, chains or [chain([_tcp(unit, unit.name)])], outbound=unit.outbound, hand_over=True
    )


def _tcp(unit: PassthroughListener, cluster: str) -> Any:
    idle = defaults.IDLE_TIMEOUT if unit.outbound else defaults.INBOUND_IDLE_TIMEOUT
    return tcp_proxy(cluster, stats=unit.name, idle_timeout_s=idle)
