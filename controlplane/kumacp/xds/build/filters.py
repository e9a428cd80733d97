"""Network filters and listeners: what inbounds, outbounds and the admin listener have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from kumacp.xds.build.messages import address, metadata, pack, seconds, stat_name, uint32
from kumacp.xds.direct import DirectAccessListener
from kumacp.xds.edge.units import EdgeListener
from kumacp.xds.model import AdminListener, InboundListener, OutboundListener, Tags
from kumacp.xds.outside import PassthroughListener

TAGS_NAMESPACE = "io.kuma.tags"
LB_NAMESPACE = "envoy.lb"


def network_filter(name: str, config: Any) -> Any:
    return listener_components_pb2.Filter(name=f"envoy.filters.network.{name}", typed_config=pack(config))


def tcp_proxy(
    cluster: str,
    *,
    stats: str,
    idle_timeout_s: float,
    connect_attempts: int | None = None,
    subset: Tags = (),
) -> Any:
    """`subset`: to endpoints with these tags, which the cluster must tell apart."""
    return network_filter(
        "tcp_proxy",
        tcp_proxy_pb2.TcpProxy(
            stat_prefix=stat_name(stats),
            cluster=cluster,
            idle_timeout=seconds(idle_timeout_s),
            max_connect_attempts=None if connect_attempts is None else uint32(connect_attempts),
            metadata_match=metadata(subset, LB_NAMESPACE),
        ),
    )


def chain(
    filters: Sequence[Any],
    *,
    name: str = "",
    transport: str = "",
    alpn: Sequence[str] = (),
    server_name: str = "",
    port: int | None = None,
    socket: Any | None = None,
) -> Any:
    """A filter chain; `transport` is "raw_buffer", "tls" or any, `server_name` the SNI that the client asks
    for, `port` what the connection was meant for."""
    match = None
    if transport or alpn or server_name or port is not None:
        match = listener_components_pb2.FilterChainMatch(
            transport_protocol=transport,
            application_protocols=alpn,
            server_names=[server_name] if server_name else [],
            destination_port=None if port is None else uint32(port),
        )
    return listener_components_pb2.FilterChain(
        name=name, filter_chain_match=match, filters=filters, transport_socket=socket
    )


def listener(
    unit: InboundListener
    | OutboundListener
    | AdminListener
    | PassthroughListener
    | DirectAccessListener
    | EdgeListener,
    chains: Sequence[Any],
    *,
    outbound: bool = False,
    tags: Tags = (),
    inspect_tls: bool = False,
    bind: bool = True,
    hand_over: bool = False,
) -> Any:
    """`hand_over`: a connection goes to the listener that has the address it was meant for, if one has."""
    return listener_pb2.Listener(
        name=unit.name,
        address=address(unit.address, unit.port),
        filter_chains=chains,
        listener_filters=[_tls_inspector()] if inspect_tls else [],
        metadata=metadata(tags, TAGS_NAMESPACE),
        traffic_direction=base_pb2.OUTBOUND if outbound else base_pb2.INBOUND,
        enable_reuse_port=BoolValue(value=unit.reuse_port),
        bind_to_port=None if bind else BoolValue(value=False),
        use_original_dst=BoolValue(value=True) if hand_over else None,
    )


def _tls_inspector() -> Any:
    return listener_components_pb2.ListenerFilter(
        name="envoy.filters.listener.tls_inspector",
        typed_config=pack(tls_inspector_pb2.TlsInspector()),
    )
