"""Where zone egresses lead out of the mesh (contract 5.8)."""

from __future__ import annotations

from typing import Any

from kumacp.xds.build import defaults, rbac, tls
from kumacp.xds.build.filters import chain, tcp_proxy
from kumacp.xds.build.http import HTTP_PROTOCOLS, egress_manager
from kumacp.xds.edge.outside import OutsideChain


def outside_chain(unit: OutsideChain) -> Any:
    """RBAC first, whatever it is of: a connection must pass all that is of connections, a request then all
    that is of requests."""
    http = unit.protocol in HTTP_PROTOCOLS
    of_requests = [policy for policy in unit.rbacs if http and policy.http]
    of_connections = [policy for policy in unit.rbacs if policy not in of_requests]
    if http:
        proxy = egress_manager(unit, [rbac.http(policy) for policy in of_requests])
    else:
        proxy = tcp_proxy(
            unit.cluster,
            stats=unit.service,
            idle_timeout_s=defaults.INBOUND_IDLE_TIMEOUT,
            # The sidecar, which is connected once the egress answers, cannot try again.
            connect_attempts=defaults.TCP_CONNECT_ATTEMPTS,
        )
    return chain(
        [*(rbac.network(policy, unit.service) for policy in of_connections), proxy],
        name=unit.name,
        transport="tls",
        server_name=unit.sni,
        socket=tls.downstream(unit.mesh),
    )
