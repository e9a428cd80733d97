"""What a proxy is told to check, as a value and as bytes."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.service.health.v3.hds_pb2 import HealthCheckSpecifier
from google.protobuf.json_format import MessageToDict

from kumacp.dpserver.hds_wire import encode_specifier
from kumacp.dpserver.health import EAGER_S, Target, Vantage, checks, health_settings, vantage
from kumacp.dpserver.node import parse_node
from kumacp.settings import CpSettings
from kumacp.xds.model import ProxyMetadata
from kumamesh.resources.dataplane import Dataplane
from kumamesh.settings import Seconds

SETTINGS = health_settings(CpSettings())
HERE = Vantage(Target("127.0.0.1", 9901), ProxyMetadata())
PROBE: dict[str, Any] = {"tcp": {}}


def dataplane(*inbounds: dict[str, Any], address: str = "10.0.0.1", **networking: Any) -> Dataplane:
    return Dataplane.model_validate({"networking": {"address": address, "inbound": inbounds, **networking}})


def probed(**more: Any) -> dict[str, Any]:
    return {"port": 80, "servicePort": 8080, "serviceAddress": "127.0.0.1", "serviceProbe": PROBE, **more}


def told(spec: Dataplane, at: Vantage = HERE) -> dict[str, Any]:
    message = HealthCheckSpecifier.FromString(encode_specifier(checks(spec, at, SETTINGS)))
    return MessageToDict(message, preserving_proto_field_name=True)


def test_the_whole_specifier() -> None:
    timing = {
        "timeout": "2s",
        "interval": "1s",
        "no_traffic_interval": "1s",
        "healthy_threshold": 1,
        "unhealthy_threshold": 1,
    }
    admin, workload = (
        {"locality_endpoints": [{"endpoints": [{"address": {"socket_address": address}}]}]}
        for address in (
            {"address": "127.0.0.1", "port_value": 9901},
            {"address": "127.0.0.1", "port_value": 8080},
        )
    )
    assert told(dataplane(probed())) == {
        "interval": "5s",
        "cluster_health_checks": [
            {
                "cluster_name": "kuma:envoy:admin",
                "health_checks": [{**timing, "http_health_check": {"path": "/ready"}}],
                **admin,
            },
            {
                "cluster_name": "localhost:8080",
                "health_checks": [{**timing, "tcp_health_check": {}}],
                **workload,
            },
        ],
    }


def test_a_probe_has_its_own_timing_where_it_says_so() -> None:
    probe = {
        **PROBE,
        "interval": "250ms",
        "timeout": "1m",
        "healthyThreshold": 2,
        "unhealthyThreshold": 3,
    }
    (only,) = checks(dataplane(probed(serviceProbe=probe)), HERE, SETTINGS).probes
    timing = only.timing
    assert (timing.interval, timing.no_traffic_interval, timing.timeout) == (0.25, 0.25, 60.0)
    assert (timing.healthy_threshold, timing.unhealthy_threshold) == (2, 3)


def test_what_envoy_could_not_count_is_bounded() -> None:
    probe = {**PROBE, "interval": "1ns", "timeout": "200y", "healthyThreshold": 2**40}
    (only,) = checks(dataplane(probed(serviceProbe=probe)), HERE, SETTINGS).probes
    assert (only.timing.interval, only.timing.timeout) == (0.01, 86_400.0)
    assert only.timing.healthy_threshold == 2**32 - 1
    careless = CpSettings(
        hds_interval=Seconds(-1.0), hds_check_timeout=Seconds(0.0), hds_check_healthy_threshold=0
    )
    settings = health_settings(careless)
    assert (settings.interval, settings.defaults.timeout, settings.defaults.healthy_threshold) == (
        0.01,
        0.01,
        1,
    )


@pytest.mark.parametrize(
    "inbound",
    [
        {"port": 80},
        {"port": 80, "serviceProbe": {}},
        probed(state="Ignored"),
        {"port": 80, "serviceProbe": PROBE, "serviceAddress": "app.example"},
    ],
)
def test_what_is_not_to_be_checked(inbound: dict[str, Any]) -> None:
    assert checks(dataplane(inbound), HERE, SETTINGS).probes == ()


def test_workloads_of_one_port_share_a_cluster_and_equal_ones_a_check() -> None:
    spec = dataplane(
        probed(),
        probed(port=81, serviceProbe={**PROBE, "interval": "7s"}),
        probed(port=82, serviceAddress="10.0.0.9"),
        probed(port=83, servicePort=70),
    )
    _, first, second = told(spec)["cluster_health_checks"]
    assert (first["cluster_name"], second["cluster_name"]) == ("localhost:70", "localhost:8080")
    endpoints = second["locality_endpoints"][0]["endpoints"]
    addresses = [endpoint["address"]["socket_address"]["address"] for endpoint in endpoints]
    assert addresses == ["127.0.0.1", "10.0.0.9"]
    assert second["health_checks"][0]["interval"] == "1s"


@pytest.mark.parametrize(
    ("address", "redirected", "source"),
    [
        ("10.0.0.1", True, "127.0.0.6"),
        ("fd00::1", True, "::6"),
        ("127.0.0.1", True, ""),
        ("::1", True, ""),
        ("10.0.0.1", False, ""),
    ],
)
def test_checks_of_a_redirected_workload_come_from_where_nothing_is_redirected(
    address: str, redirected: bool, source: str
) -> None:
    inbound = {"port": 80, "servicePort": 8080, "serviceProbe": PROBE}
    redirect = {"transparentProxying": {"redirectPortInbound": 15_006, "redirectPortOutbound": 15_001}}
    spec = dataplane(inbound, address=address, **(redirect if redirected else {}))
    (probe,) = checks(spec, HERE, SETTINGS).probes
    assert probe.source == source
    bind = told(spec)["cluster_health_checks"][1].get("upstream_bind_config", {})
    assert bind.get("source_address", {}).get("address", "") == source


def test_a_proxy_reports_sooner_while_a_workload_is_awaited() -> None:
    waiting = probed(state="NotReady")
    assert checks(dataplane(waiting, probed(port=81)), HERE, SETTINGS).interval == EAGER_S
    assert checks(dataplane(probed(health={"ready": False})), HERE, SETTINGS).interval == EAGER_S
    # Of one without a probe, or one that is ignored, nothing is to be awaited.
    others = ({"port": 80, "state": "NotReady"}, probed(state="Ignored"))
    assert checks(dataplane(*others), HERE, SETTINGS).interval == 5.0
    quick = health_settings(CpSettings(hds_interval=Seconds(0.2)))
    assert checks(dataplane(waiting), HERE, quick).interval == 0.2


@pytest.mark.parametrize(
    ("metadata", "admin"),
    [
        ({"dataplane.admin.port": "9901"}, Target("127.0.0.1", 9901)),
        ({"dataplane.admin.port": "9901", "dataplane.admin.address": "0.0.0.0"}, Target("127.0.0.1", 9901)),
        ({"dataplane.admin.port": "9901", "dataplane.admin.address": "::"}, Target("::1", 9901)),
        ({}, None),
    ],
)
def test_where_envoys_own_health_is_found(metadata: dict[str, Any], admin: Target | None) -> None:
    node = parse_node("default.web-1", metadata)
    at = vantage(node)
    assert at == Vantage(admin, node.proxy)
    names = [check["cluster_name"] for check in told(dataplane(), at).get("cluster_health_checks", ())]
    assert names == (["kuma:envoy:admin"] if admin else [])
