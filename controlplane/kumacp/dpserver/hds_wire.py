"""Health discovery messages as bytes: decode what proxies say, encode what they are to check."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from typing import Any

from envoy.config.core.v3 import health_check_pb2
from envoy.service.health.v3 import hds_pb2
from google.protobuf.message import DecodeError

from kumacp.dpserver.health import Checks, CheckTiming, Probe, Report, Target, target
from kumacp.dpserver.refusal import Refused, Status, other_node
from kumacp.dpserver.wire import json_object
from kumacp.xds.build.admin import ADMIN
from kumacp.xds.build.messages import address, seconds, serialise, uint32
from kumamesh.names import local_cluster

MAX_REPORT_BYTES = 2**20
"""A report on 5,000 workloads has two thirds of that."""

_HEALTHY = frozenset((health_check_pb2.HEALTHY, health_check_pb2.UNKNOWN))
_READY_PATH = "/ready"


@dataclass(frozen=True, slots=True)
class Introduction:
    """The first message of a stream."""

    node_id: str
    metadata: dict[str, Any]


def decode_introduction(data: bytes) -> Introduction:
    """Raises Refused."""
    message = _decode(data)
    if not message.HasField("health_check_request"):
        raise _invalid("the first message must be a HealthCheckRequest with the node")
    node = message.health_check_request.node
    return Introduction(node.id, json_object(node.metadata))


def decode_report(data: bytes, node_id: str) -> Report | None:
    """What was found; None for a message that reports nothing. Envoy says everything twice, in two forms, of
    which the older one has no clusters: both are read. Raises Refused."""
    if len(data) > MAX_REPORT_BYTES:
        text = f"a health report has more than {MAX_REPORT_BYTES >> 20} MiB"
        raise Refused(Status.RESOURCE_EXHAUSTED, text)
    message = _decode(data)
    if not message.HasField("endpoint_health_response"):
        if message.health_check_request.node.id not in {"", node_id}:
            raise other_node(node_id, message.health_check_request.node.id)
        return None
    response = message.endpoint_health_response
    found: dict[Target, bool] = {}
    for item in chain(response.endpoints_health, *map(_of_cluster, response.cluster_endpoints_health)):
        at = item.endpoint.address.socket_address
        checked = target(at.address, at.port_value)
        found[checked] = found.get(checked, True) and item.health_status in _HEALTHY
    return found


def _of_cluster(cluster: Any) -> Iterator[Any]:
    return chain.from_iterable(locality.endpoints_health for locality in cluster.locality_endpoints_health)


def encode_specifier(checks: Checks) -> bytes:
    """A serialised HealthCheckSpecifier. Workloads of one port are endpoints of one cluster."""
    specifier = hds_pb2.HealthCheckSpecifier(interval=seconds(checks.interval))
    if checks.admin is not None:
        health_check = _health_check(checks.admin_timing)
        health_check.http_health_check.path = _READY_PATH
        specifier.cluster_health_checks.append(_cluster(ADMIN, health_check, (checks.admin,), ""))
    by_port = sorted(checks.probes, key=lambda probe: probe.target.port)
    for port, probes in groupby(by_port, key=lambda probe: probe.target.port):
        specifier.cluster_health_checks.append(_workloads(local_cluster(port), tuple(probes)))
    return serialise(specifier)


def _workloads(name: str, probes: tuple[Probe, ...]) -> Any:
    health_check = _health_check(probes[0].timing)
    health_check.tcp_health_check.SetInParent()
    source = next((probe.source for probe in probes if probe.source), "")
    return _cluster(name, health_check, tuple(probe.target for probe in probes), source)


def _cluster(name: str, health_check: Any, targets: tuple[Target, ...], source: str) -> Any:
    cluster = hds_pb2.ClusterHealthCheck(cluster_name=name, health_checks=[health_check])
    endpoints = cluster.locality_endpoints.add().endpoints
    for each in targets:
        endpoints.add(address=address(*each))
    if source:
        cluster.upstream_bind_config.source_address.address = source
        cluster.upstream_bind_config.source_address.port_value = 0
    return cluster


def _health_check(timing: CheckTiming) -> Any:
    return health_check_pb2.HealthCheck(
        timeout=seconds(timing.timeout),
        interval=seconds(timing.interval),
        no_traffic_interval=seconds(timing.no_traffic_interval),
        healthy_threshold=uint32(timing.healthy_threshold),
        unhealthy_threshold=uint32(timing.unhealthy_threshold),
    )


def _decode(data: bytes) -> Any:
    try:
        return hds_pb2.HealthCheckRequestOrEndpointHealthResponse.FromString(data)
    except DecodeError:
        raise _invalid("the message is not one of health discovery") from None


def _invalid(text: str) -> Refused:
    return Refused(Status.INVALID_ARGUMENT, text)
