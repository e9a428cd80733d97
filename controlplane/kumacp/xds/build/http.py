"""HTTP connection managers and their routes (contract 5.3)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from envoy.config.common.mutation_rules.v3 import mutation_rules_pb2
from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, protocol_pb2
from envoy.config.route.v3 import route_components_pb2, route_pb2
from envoy.extensions.filters.http.grpc_stats.v3 import config_pb2 as grpc_stats_pb2
from envoy.extensions.filters.http.header_mutation.v3 import header_mutation_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as hcm_pb2,
)
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.retry.priority.previous_priorities.v3 import previous_priorities_config_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from kumacp.xds.build import defaults
from kumacp.xds.build.filters import network_filter
from kumacp.xds.build.messages import extension, from_ads, pack, seconds, stat_name, uint32
from kumacp.xds.edge.outside import OutsideChain
from kumacp.xds.model import InboundListener, OutboundListener, SourceTags
from kumamesh.names import SOURCE_TAGS_FILTER

HTTP_PROTOCOLS = frozenset({"http", "http2", "grpc"})
"""Protocols of kuma.io/protocol that Envoy takes apart into requests."""

KUMA_TAGS_HEADER = "x-kuma-tags"
"""Tags of the calling proxy, for the peer sidecar only."""

_Hcm = hcm_pb2.HttpConnectionManager
_RETRY_ON = "connect-failure,refused-stream,gateway-error"


def inbound_manager(unit: InboundListener, cluster: str, first: Sequence[Any] = ()) -> Any:
    """The manager in front of the application; `first` are HTTP filters before all others."""
    route = route_components_pb2.RouteAction(cluster=cluster, timeout=seconds(0))
    routes = _routes(
        f"inbound:{unit.service}", unit.service, [_route(route)],
        request_headers_to_remove=[KUMA_TAGS_HEADER],
    )  # fmt: skip
    return manager(
        stats=cluster,
        routes=routes,
        filters=[*first, *_grpc_stats(unit.protocol)],
        internal=_ranges(defaults.INTERNAL_RANGES, ipv6=unit.ipv6),
        # Without a client certificate this still takes away what the client claims to be.
        forward_client_cert_details=_Hcm.SANITIZE_SET,
        set_current_client_cert_details=_Hcm.SetCurrentClientCertDetails(uri=True),
        stream_idle_timeout=seconds(defaults.INBOUND_STREAM_IDLE_TIMEOUT),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=seconds(defaults.INBOUND_IDLE_TIMEOUT)
        ),
    )


def outbound_manager(unit: OutboundListener) -> Any:
    route = route_components_pb2.RouteAction(
        cluster=unit.cluster,
        timeout=seconds(defaults.REQUEST_TIMEOUT),
        retry_policy=_retry_policy(unit.protocol),
        # A server outside the mesh knows itself by its own name, not by the one that the mesh has for it.
        auto_host_rewrite=BoolValue(value=True) if unit.external else None,
    )
    return manager(
        stats=unit.service,
        routes=_routes(f"outbound:{unit.service}", unit.service, [_route(route)]),
        # Only sidecars may read the tags.
        filters=[*([] if unit.external else [_source_tags_filter()]), *_grpc_stats(unit.protocol)],
        internal=_ranges(defaults.INTERNAL_RANGES, ipv6=unit.ipv6),
        stream_idle_timeout=seconds(defaults.STREAM_IDLE_TIMEOUT),
    )


def egress_manager(unit: OutsideChain, first: Sequence[Any] = ()) -> Any:
    """The manager that leads out of the mesh; `first` are HTTP filters before all others. How long a request
    may take, and whether it is tried again, is the sidecar's business."""
    route = route_components_pb2.RouteAction(
        cluster=unit.cluster, timeout=seconds(0), auto_host_rewrite=BoolValue(value=True)
    )
    routes = _routes(
        f"outbound:{unit.service}", unit.service, [_route(route)],
        request_headers_to_remove=[KUMA_TAGS_HEADER],
    )  # fmt: skip
    return manager(
        stats=unit.service,
        routes=routes,
        filters=[*first, *_grpc_stats(unit.protocol)],
        # The same for every host, with IPv6 or without: the clients are sidecars of this zone.
        internal=_ranges(defaults.INTERNAL_RANGES, ipv6=False),
        stream_idle_timeout=seconds(defaults.INBOUND_STREAM_IDLE_TIMEOUT),
        common_http_protocol_options=protocol_pb2.HttpProtocolOptions(
            idle_timeout=seconds(defaults.INBOUND_IDLE_TIMEOUT)
        ),
    )


def internal_manager(name: str, routes: Sequence[Any], *, ipv6: bool, longest_body: int | None = None) -> Any:
    """Of the control plane's own business; `longest_body` is that of a direct response, in bytes."""
    limit = None if longest_body is None else uint32(longest_body)
    return manager(
        stats=name,
        routes=_routes("", name, routes, max_direct_response_body_size_bytes=limit),
        filters=(),
        internal=_ranges(defaults.LOOPBACK_RANGES, ipv6=ipv6),
    )


def forward(cluster: str, *, path: str = "") -> Any:
    """A route for exactly `path`, or for everything."""
    return _route(route_components_pb2.RouteAction(cluster=cluster), path=path)


def manager(*, stats: str, routes: Any, filters: Sequence[Any], internal: Any, **more: Any) -> Any:
    """The network filter; the router comes behind the given HTTP filters."""
    config = _Hcm(
        codec_type=_Hcm.AUTO,
        stat_prefix=stat_name(stats),
        route_config=routes,
        http_filters=[*filters, _router()],
        internal_address_config=internal,
        **more,
    )
    return network_filter("http_connection_manager", config)


@cache
def _router() -> Any:
    """Never change what this returns."""
    return http_filter("router", router_pb2.Router())


def http_filter(name: str, config: Any) -> Any:
    return hcm_pb2.HttpFilter(name=f"envoy.filters.http.{name}", typed_config=pack(config))


def _grpc_stats(protocol: str) -> list[Any]:
    return [http_filter("grpc_stats", grpc_stats_pb2.FilterConfig())] if protocol == "grpc" else []


@cache
def _ranges(ranges: tuple[tuple[str, int], ...], *, ipv6: bool) -> Any:
    """Never change what this returns."""
    return _Hcm.InternalAddressConfig(
        cidr_ranges=[
            address_pb2.CidrRange(address_prefix=prefix, prefix_len=uint32(length))
            for prefix, length in ranges
            if ipv6 or ":" not in prefix
        ]
    )


def _routes(name: str, host: str, routes: Sequence[Any], **more: Any) -> Any:
    return route_pb2.RouteConfiguration(
        name=name,
        virtual_hosts=[route_components_pb2.VirtualHost(name=host, domains=["*"], routes=routes)],
        # The cluster may come after the listener; a request meanwhile gets 503 instead of a refused listener.
        validate_clusters=BoolValue(value=False),
        **more,
    )


def _route(action: Any, *, path: str = "") -> Any:
    match = (
        route_components_pb2.RouteMatch(path=path) if path else route_components_pb2.RouteMatch(prefix="/")
    )
    return route_components_pb2.Route(match=match, route=action)


@cache
def _source_tags_filter() -> Any:
    """In the place of the proxy's own SourceTags, which come as a resource of their own. Never change what
    this returns."""
    return hcm_pb2.HttpFilter(
        name=SOURCE_TAGS_FILTER,
        config_discovery=config_source_pb2.ExtensionConfigSource(
            config_source=from_ads(), type_urls=[pack(header_mutation_pb2.HeaderMutation()).type_url]
        ),
    )


def source_tags(unit: SourceTags) -> Any:
    """`&k1=v1&&k2=v2,v3&`. Kuma appends to what the application sent, which lets an application claim the
    tags of another; so this overwrites."""
    action = mutation_rules_pb2.HeaderMutation(remove=KUMA_TAGS_HEADER)
    if unit.tags:
        value = "".join(f"&{key}={values}&" for key, values in unit.tags)
        action = mutation_rules_pb2.HeaderMutation(
            append=base_pb2.HeaderValueOption(
                header=base_pb2.HeaderValue(key=KUMA_TAGS_HEADER, value=value),
                append_action=base_pb2.HeaderValueOption.OVERWRITE_IF_EXISTS_OR_ADD,
            )
        )
    mutations = header_mutation_pb2.Mutations(request_mutations=[action])
    return extension(unit.name, header_mutation_pb2.HeaderMutation(mutations=mutations))


@cache
def _retry_policy(protocol: str) -> Any:
    """Kuma's default, and three things more so that an endpoint may leave without a failed request.

    A retry goes to another host than the attempts before it, if there is one: Kuma's round robin may return
    to the dead one. The second retry goes to another priority, if there is one: with locality-aware load
    balancing those of this zone may all be dead. For gRPC `unavailable`, which Kuma retries too: it is what a
    sidecar answers when its application is gone, with HTTP status 200. `gateway-error` also covers an
    upstream connection that is reset before the response, so `reset-before-request` would add nothing. Never
    change what this returns.
    """
    return route_components_pb2.RetryPolicy(
        retry_on=f"{_RETRY_ON},unavailable" if protocol == "grpc" else _RETRY_ON,
        num_retries=uint32(defaults.HTTP_RETRIES),
        retry_back_off=route_components_pb2.RetryPolicy.RetryBackOff(
            base_interval=seconds(defaults.RETRY_BASE_INTERVAL),
            max_interval=seconds(defaults.RETRY_MAX_INTERVAL),
        ),
        retry_host_predicate=[
            route_components_pb2.RetryPolicy.RetryHostPredicate(
                name="envoy.retry_host_predicates.previous_hosts",
                typed_config=pack(previous_hosts_pb2.PreviousHostsPredicate()),
            )
        ],
        host_selection_retry_max_attempts=defaults.HTTP_RETRIES,
        retry_priority=route_components_pb2.RetryPolicy.RetryPriority(
            name="envoy.retry_priorities.previous_priorities",
            typed_config=pack(
                previous_priorities_config_pb2.PreviousPrioritiesConfig(
                    update_frequency=defaults.ATTEMPTS_OF_A_PRIORITY
                )
            ),
        ),
    )
