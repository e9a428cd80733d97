"""Ways to single instances at their own addresses (kuma-cp 3.1)."""

from __future__ import annotations

from typing import Any

from kumacp.xds.build import defaults, tls
from kumacp.xds.build.clusters import original_destination
from kumacp.xds.build.filters import chain, tcp_proxy
from kumacp.xds.build.filters import listener as make_listener
from kumacp.xds.direct import DirectAccessCluster, DirectAccessListener


def cluster(unit: DirectAccessCluster) -> Any:
    made = original_destination(unit.name)
    if unit.mesh:
        made.transport_socket.CopyFrom(tls.upstream_to_any(unit.mesh))
    return made


def listener(unit: DirectAccessListener) -> Any:
    """TCP, whatever the instance speaks: its own sidecar takes that apart."""
    proxy = tcp_proxy(unit.cluster, stats=unit.name, idle_timeout_s=defaults.IDLE_TIMEOUT)
    return make_listener(unit, [chain([proxy])], outbound=True, bind=False)
