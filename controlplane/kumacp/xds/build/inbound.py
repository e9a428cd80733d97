"""Listeners in front of the application (contract 5.3, 5.4)."""

from __future__ import annotations

from typing import Any

from kumacp.xds.build import defaults, rbac, tls
from kumacp.xds.build.filters import chain, tcp_proxy
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.build.http import HTTP_PROTOCOLS, inbound_manager
from kumacp.xds.model import InboundListener, PrincipalRbac, TlsMode
from kumamesh import names

_DENY_ALL = PrincipalRbac(allow=())


def listener(unit: InboundListener) -> Any:
    chains = {
        None: _plain_chains,
        TlsMode.STRICT: _strict_chains,
        TlsMode.PERMISSIVE: _permissive_chains,
    }[unit.tls](unit)
    # Reads the ClientHello: what tells the permissive chains apart, and the SNI that a rule may ask for.
    inspect = unit.tls is TlsMode.PERMISSIVE or (unit.rbac is not None and rbac.needs_server_name(unit.rbac))
    return make_listener(unit, chains, tags=unit.tags, inspect_tls=inspect, bind=unit.bind)


def _plain_chains(unit: InboundListener) -> list[Any]:
    return [chain([_to_application(unit)])]


def _strict_chains(unit: InboundListener) -> list[Any]:
    return [chain(_guarded(unit), socket=tls.downstream(unit.mesh))]


def _permissive_chains(unit: InboundListener) -> list[Any]:
    """Plain text; TLS of the application, passed on as it is; TLS of the mesh. Only the last knows its
    client, so only the last has RBAC."""
    return [
        chain([_to_application(unit)], transport="raw_buffer"),
        chain([_tcp(unit)], transport="tls"),
        chain(
            _guarded(unit),
            transport="tls",
            alpn=[tls.ALPN],
            socket=tls.downstream(unit.mesh),
        ),
    ]


def _guarded(unit: InboundListener) -> list[Any]:
    """RBAC first: before the HTTP filters where the policy is of HTTP, else before the network filters."""
    policy = unit.rbac or _DENY_ALL
    if policy.http and unit.protocol in HTTP_PROTOCOLS:
        return [inbound_manager(unit, names.local_cluster(unit.local_port), [rbac.http(policy)])]
    return [rbac.network(policy, unit.name), _to_application(unit)]


def _to_application(unit: InboundListener) -> Any:
    if unit.protocol in HTTP_PROTOCOLS:
        return inbound_manager(unit, names.local_cluster(unit.local_port))
    # Kuma puts kafka_broker before the proxy for kafka; upstream's Envoy does not have that filter.
    return _tcp(unit)


def _tcp(unit: InboundListener) -> Any:
    cluster = names.local_cluster(unit.local_port)
    return tcp_proxy(cluster, stats=cluster, idle_timeout_s=defaults.INBOUND_IDLE_TIMEOUT)
