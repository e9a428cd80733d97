"""The last health report of a proxy that stops (kuma-dp 2.4). Pure.

Envoy reports every few seconds only, and the agent ends its streams before it drains. So what Envoy would say
of itself next is said at once: its health check fails. The control plane then takes its inbounds from their
peers while they still answer.
"""

from __future__ import annotations

from envoy.config.core.v3 import health_check_pb2
from envoy.service.health.v3 import hds_pb2
from google.protobuf.message import DecodeError

_ADMIN = frozenset(("kuma:envoy:admin", "system_envoy_admin"))


def farewell(specifier: bytes) -> bytes:
    """A report that Envoy is not healthy, on what the control plane asked to be checked last; b"" when it did
    not ask for Envoy itself."""
    try:
        asked = hds_pb2.HealthCheckSpecifier.FromString(specifier)
    except DecodeError:
        return b""
    message = hds_pb2.HealthCheckRequestOrEndpointHealthResponse()
    report = message.endpoint_health_response
    for check in asked.cluster_health_checks:
        if check.cluster_name not in _ADMIN:
            continue
        cluster = report.cluster_endpoints_health.add(cluster_name=check.cluster_name)
        for locality in check.locality_endpoints:
            found = cluster.locality_endpoints_health.add()
            for endpoint in locality.endpoints:
                found.endpoints_health.add(endpoint=endpoint, health_status=health_check_pb2.UNHEALTHY)
            report.endpoints_health.extend(found.endpoints_health)
    return bytes(message.SerializeToString())
