"""What the relay knows of health discovery (contract 3.6). Pure.

Envoy reports every few seconds, whether anything changed or not. Repetitions are left out: a thousand proxies
would send hundreds a second. And what Envoy would say of itself next when the agent is told to stop is said
at once: then the control plane takes its inbounds from their peers while they still answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from envoy.config.core.v3 import health_check_pb2
from envoy.service.health.v3 import hds_pb2
from google.protobuf.message import DecodeError

EVERY = 12
"""Of equal reports in a row one in so many passes: what was written over in the control plane comes right."""
_ADMIN = frozenset(("kuma:envoy:admin", "system_envoy_admin"))


@dataclass(slots=True)
class Repeats:
    """Of one stream."""

    _last: bytes = b""
    _times: int = 0

    def asked(self) -> None:
        """The control plane asks for something else, and wants an answer."""
        self._last = b""

    def passes(self, report: bytes) -> bool:
        """Whether the control plane is to have it."""
        self._times = self._times + 1 if report == self._last else 0
        self._last = report
        return self._times % EVERY == 0


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
