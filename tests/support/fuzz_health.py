"""Fuzz targets: health discovery. A report changes only states, and Envoy can count what it is sent."""

from __future__ import annotations

import json

from envoy.service.health.v3 import hds_pb2

from bootstrap_requests import TOKEN
from fuzz import Target
from fuzz_mutate import bytes_mutation, json_mutation, protobuf_mutation
from fuzz_resources import DOCUMENTS, words
from fuzz_servers import joined, presentable_text, split
from kumacp.dpserver import health
from kumacp.dpserver.hds_wire import decode_introduction, decode_report, encode_specifier
from kumacp.dpserver.health import checks, decide, health_settings, vantage
from kumacp.dpserver.node import ProxyNode, parse_node
from kumacp.dpserver.refusal import Refused
from kumacp.settings import CpSettings
from kumamesh.resource import InvalidResource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.rest import from_rest, spec_from_json, spec_to_json

_SETTINGS = health_settings(CpSettings())
_NODE_ID = "default.web-1"
_INBOUNDS = [
    {"port": 8080, "tags": {"kuma.io/service": "web"}, "serviceProbe": {"tcp": {}}},
    {"port": 8081, "tags": {"kuma.io/service": "api"}, "state": "NotReady", "serviceProbe": {"tcp": {}}},
    {"port": 8082, "tags": {"kuma.io/service": "old"}, "state": "Ignored"},
    {"port": 8083, "tags": {"kuma.io/service": "plain"}},
]
_PROBED = {
    "type": "Dataplane",
    "mesh": "default",
    "name": "web-1",
    "networking": {"address": "192.168.0.1", "inbound": _INBOUNDS},
}
_DATAPLANE: Dataplane = from_rest(_PROBED).spec


def check_reports(data: bytes) -> str:
    """A stream: the introduction, then reports."""
    first, *reports = split(data)
    spec, outcome = _DATAPLANE, ""
    try:
        introduction = decode_introduction(first)
        node = parse_node(introduction.node_id, introduction.metadata)
        for raw in reports:
            report = decode_report(raw, node.id)
            if report is not None:
                outcome += _judged(spec, node, report)
                spec, _ = decide(spec, vantage(node).admin, report)
    except Refused as refusal:
        return presentable_text(refusal.message)[:50]
    return f"{len(reports)} {outcome}"


def _judged(spec: Dataplane, node: ProxyNode, report: health.Report) -> str:
    admin = vantage(node).admin
    after, changes = decide(spec, admin, report)
    assert decide(after, admin, report) == (after, ()), "the same report changes something again"
    assert spec_from_json("Dataplane", json.loads(json.dumps(spec_to_json(after)))) == after
    before, now = (
        [inbound.model_copy(update={"state": "Ready", "health": None}) for inbound in each.networking.inbound]
        for each in (spec, after)
    )
    assert before == now, "more than states"
    assert all(presentable_text(change.reason) for change in changes)
    return f"{len(changes)} changed;"


def check_specifier(data: bytes) -> str:
    """A Dataplane, as people write it; what its proxy is told to check."""
    try:
        document = json.loads(data)
        spec = from_rest(document).spec
    except (ValueError, RecursionError, InvalidResource):
        return "no resource"
    if not isinstance(spec, Dataplane):
        return "another type"
    node = parse_node(_NODE_ID, {"dataplane.admin.port": "9901"})
    raw = encode_specifier(checks(spec, vantage(node), _SETTINGS))
    specifier = hds_pb2.HealthCheckSpecifier.FromString(raw)
    for cluster in specifier.cluster_health_checks:
        for each in cluster.health_checks:
            for duration in (each.interval, each.timeout, each.no_traffic_interval):
                assert 0 < duration.ToNanoseconds() <= 86_400 * 10**9
            assert 0 < each.healthy_threshold.value < 2**32
    return f"{min(len(specifier.cluster_health_checks), 5)} clusters"


def _reports() -> tuple[bytes, ...]:
    first = hds_pb2.HealthCheckRequestOrEndpointHealthResponse()
    first.health_check_request.node.id = _NODE_ID
    first.health_check_request.node.metadata.update({"dataplane.admin.port": "9901", "token": TOKEN[:20]})
    streams = []
    for statuses in ((1, 1, 1), (1, 2, 1), (2, 1, 4), (0, 3, 5)):
        report = hds_pb2.HealthCheckRequestOrEndpointHealthResponse()
        where = (("127.0.0.1", 9901), ("192.168.0.1", 8080), ("192.168.0.1", 8081))
        for (address, port), status in zip(where, statuses, strict=True):
            found = report.endpoint_health_response.endpoints_health.add(health_status=status)
            found.endpoint.address.socket_address.address = address
            found.endpoint.address.socket_address.port_value = port
        streams.append(report)
    return joined(first, *streams), joined(first, streams[1]), joined(first, first)


_PROBES = tuple(
    json.dumps(
        {
            **_PROBED,
            "networking": {"address": "127.0.0.1", "inbound": [{**_INBOUNDS[0], "serviceProbe": probe}]},
        }
    )
    for probe in (
        {"tcp": {}, "interval": "1s", "timeout": "250ms", "unhealthyThreshold": 3, "healthyThreshold": 1},
        {"tcp": {}, "interval": "1ns", "timeout": "292y", "unhealthyThreshold": 4_294_967_296},
    )
)
_WORDS = (b"192.168.0.1", b"127.0.0.1", b"::1", b"default.web-1", b"kuma:envoy:admin")

TARGETS = (
    Target(
        "health reports",
        _reports(),
        (protobuf_mutation(*_WORDS), bytes_mutation(*_WORDS)),
        check_reports,
        share=0.5,
    ),
    Target(
        "health checks",
        (*(text.encode() for text in _PROBES), json.dumps(DOCUMENTS[0]).encode()),
        (json_mutation(*words()),),
        check_specifier,
        share=0.5,
    ),
)
