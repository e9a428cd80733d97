"""Listeners through which the application reaches services (contract 5.3)."""

from __future__ import annotations

from typing import Any

from kumacp.xds.build import defaults
from kumacp.xds.build.filters import chain, tcp_proxy
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.build.http import HTTP_PROTOCOLS, outbound_manager
from kumacp.xds.model import OutboundListener


def listener(unit: OutboundListener) -> Any:
    if unit.protocol in HTTP_PROTOCOLS:
        proxy = outbound_manager(unit)
    else:
        proxy = tcp_proxy(
            unit.cluster,
            stats=unit.service,
            idle_timeout_s=defaults.IDLE_TIMEOUT,
            connect_attempts=defaults.TCP_CONNECT_ATTEMPTS,
        )
    return make_listener(unit, [chain([proxy])], outbound=True, tags=unit.tags, bind=unit.bind)
