"""What agents are told through Envoy: names, in the dynamic configuration or in Envoy's own name server
(contract 4.1, 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2
from envoy.config.listener.v3 import listener_components_pb2, listener_pb2
from envoy.config.route.v3 import route_components_pb2
from envoy.data.dns.v3 import dns_table_pb2
from envoy.extensions.filters.udp.dns_filter.v3 import dns_filter_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from kumacp.xds.build.filters import chain
from kumacp.xds.build.http import internal_manager
from kumacp.xds.build.messages import pack, pipe, seconds, serialise
from kumacp.xds.name_table import TTL_S, DnsListener, DynamicConfig, Page

_ROUTE = "_kuma:dynamicconfig"


def deferred(unit: DynamicConfig) -> tuple[bytes, Callable[[], bytes]]:
    """What tells one from another, and what makes the body. Every proxy has its own, for its socket, and it
    may be a megabyte: so it is kept nowhere. The pages' ETags stand for their texts."""
    pages = tuple(replace(page, text=page.etag) for page in unit.pages)
    return serialise(listener(replace(unit, pages=pages))), partial(_body, unit)


def _body(unit: DynamicConfig) -> bytes:
    return serialise(listener(unit))


def listener(unit: DynamicConfig) -> Any:
    longest = max(len(page.text.encode()) for page in unit.pages)
    routes = [route for page in unit.pages for route in _routes(page)]
    manager = internal_manager(unit.name, routes, ipv6=unit.ipv6, longest_body=longest)
    return listener_pb2.Listener(
        name=unit.name,
        address=pipe(unit.pipe),
        traffic_direction=base_pb2.INBOUND,
        filter_chains=[chain([manager])],
    )


def _routes(page: Page) -> Iterator[Any]:
    """First for the agent that has the page already."""
    known = route_components_pb2.HeaderMatcher(
        name="If-None-Match", string_match=string_pb2.StringMatcher(exact=page.etag)
    )
    yield route_components_pb2.Route(
        match=route_components_pb2.RouteMatch(path=page.path, headers=[known]),
        direct_response=route_components_pb2.DirectResponseAction(status=304),
    )
    etag = base_pb2.HeaderValue(key="Etag", value=page.etag)
    yield route_components_pb2.Route(
        name=f"{_ROUTE}:{page.path}",
        match=route_components_pb2.RouteMatch(path=page.path),
        direct_response=route_components_pb2.DirectResponseAction(
            status=200, body=base_pb2.DataSource(inline_string=page.text)
        ),
        response_headers_to_add=[base_pb2.HeaderValueOption(header=etag)],
    )


def dns_listener(unit: DnsListener) -> Any:
    domains = [
        dns_table_pb2.DnsTable.DnsVirtualDomain(
            name=record.name,
            endpoint=dns_table_pb2.DnsTable.DnsEndpoint(
                address_list=dns_table_pb2.DnsTable.AddressList(address=record.ips)
            ),
            answer_ttl=seconds(TTL_S),
        )
        for record in unit.names.records
    ]
    table = dns_table_pb2.DnsTable(external_retry_count=0, virtual_domains=domains)
    config = dns_filter_pb2.DnsFilterConfig(
        stat_prefix="kuma_dns",
        server_config=dns_filter_pb2.DnsFilterConfig.ServerContextConfig(inline_dns_table=table),
    )
    address = address_pb2.SocketAddress(
        protocol=address_pb2.SocketAddress.UDP, address="127.0.0.1", port_value=unit.port
    )
    return listener_pb2.Listener(
        name=unit.name,
        address=address_pb2.Address(socket_address=address),
        traffic_direction=base_pb2.INBOUND,
        enable_reuse_port=BoolValue(value=unit.reuse_port),
        listener_filters=[
            listener_components_pb2.ListenerFilter(
                name="envoy.filters.udp.dns_filter", typed_config=pack(config)
            )
        ],
    )
