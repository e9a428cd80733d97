"""Envoy's admin endpoint and the agent's readiness, as the control plane reaches them (contract 3.7)."""

from __future__ import annotations

from typing import Any

from kumacp.xds.build import defaults, tls
from kumacp.xds.build.clusters import static_cluster
from kumacp.xds.build.filters import chain
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.build.http import forward, internal_manager
from kumacp.xds.build.messages import address, pipe
from kumacp.xds.model import AdminCluster, AdminListener, ReadinessCluster

ADMIN = "kuma:envoy:admin"
READINESS = "kuma:readiness"


def admin_cluster(unit: AdminCluster) -> Any:
    return static_cluster(unit.name, address(unit.address, unit.port), defaults.CONNECT_TIMEOUT)


def readiness_cluster(unit: ReadinessCluster) -> Any:
    endpoint = pipe(unit.pipe) if unit.pipe else address(unit.address, unit.port)
    return static_cluster(unit.name, endpoint, defaults.CONNECT_TIMEOUT)


def admin_listener(unit: AdminListener) -> Any:
    ready = forward(READINESS, path="/ready")
    plain = internal_manager(unit.name, [ready], ipv6=unit.ipv6)
    whole = internal_manager(unit.name, [ready, forward(ADMIN)], ipv6=unit.ipv6)
    chains = [chain([plain]), chain([whole], transport="tls", socket=tls.admin(unit.tls))]
    return make_listener(unit, chains, inspect_tls=True)
