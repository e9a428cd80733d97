"""What /metrics shows."""

from __future__ import annotations

import os
import re
from collections import Counter
from typing import ClassVar

import pytest

from kumacp.dpserver.stats import DpServerStats
from kumacp.figures import HttpTraffic
from kumacp.metrics import METRICS, Instance, Metrics
from kumacp.xds.hub import Counters
from kumamesh.resource import ResourceKey
from kumamesh.xds import CLUSTER


def lines(metrics: Metrics) -> list[str]:
    return metrics.render().decode().splitlines()


def test_values_are_read_when_they_are_asked_for() -> None:
    metrics, writes = Metrics(), Counter({"create": 1})
    metrics.expose("store_writes_total", lambda: writes)
    assert 'store_writes_total{operation="create"} 1.0' in lines(metrics)
    writes["create"] = 7
    assert 'store_writes_total{operation="create"} 7.0' in lines(metrics)


def test_the_data_plane_server_shows_all_its_counters() -> None:
    metrics, stats = Metrics(), DpServerStats(streams_active=3)
    stats.streams_refused["unauthenticated"] = 6
    stats.certificates_issued["default"] = 4
    stats.pushes["Cluster"] = 5
    stats.acks["Cluster"] = 4
    stats.nacks["other"] = 1
    stats.tokens_refused["expired"] = 2
    stats.change_to_ack.observe(0.02)
    stats.change_to_ack.observe(99.0)
    metrics.expose_dp_server(stats)
    shown = lines(metrics)
    assert "xds_streams_active 3.0" in shown
    assert 'xds_streams_refused_total{reason="unauthenticated"} 6.0' in shown
    assert 'cert_generation{mesh="default"} 4.0' in shown
    assert f'xds_responses_sent{{type_url="{CLUSTER}"}} 5.0' in shown
    assert f'xds_requests_received{{type_url="{CLUSTER}",confirmation="ACK"}} 4.0' in shown
    assert 'xds_requests_received{type_url="other",confirmation="NACK"} 1.0' in shown
    assert 'tokens_refused_total{reason="expired"} 2.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="0.01"} 0.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="0.02"} 1.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="+Inf"} 2.0' in shown
    assert "xds_change_to_ack_seconds_count 2.0" in shown
    assert "xds_delivery_sum 99020.0" in shown
    assert "xds_delivery_count 2.0" in shown


def test_the_hub_shows_its_counters() -> None:
    class Hub:
        counters = Counters(built=10, reused=990, woken=5, held=8)
        faults: ClassVar = {ResourceKey("ExternalService", "default", "httpbin"): "a Secret is missing"}

    metrics = Metrics()
    metrics.expose_hub(Hub())
    shown = lines(metrics)
    assert "xds_units_built_total 10.0" in shown
    assert "xds_units_reused_total 990.0" in shown
    assert "xds_units_held 8.0" in shown
    assert "xds_proxies_woken_total 5.0" in shown
    assert 'external_services_unusable{mesh="default",external_service="httpbin"} 1.0' in shown


def test_unusable_external_services_beyond_a_number_are_counted_together() -> None:
    class Hub:
        counters = Counters(built=0, reused=0, woken=0, held=0)
        faults: ClassVar = {
            ResourceKey("ExternalService", "default", f"x-{n}"): "a Secret is missing" for n in range(1_000)
        }

    metrics = Metrics()
    metrics.expose_hub(Hub())
    shown = [line for line in lines(metrics) if line.startswith("external_services_unusable{")]
    assert len(shown) == 201
    assert shown[-1] == 'external_services_unusable{mesh="other",external_service="other"} 800.0'


def test_http_servers_show_methods_and_statuses() -> None:
    metrics, traffic = Metrics(), HttpTraffic()
    traffic.ended("PUT", 201, 0.004)
    metrics.expose_http("api_server", traffic)
    shown = lines(metrics)
    labels = 'code="201",method="PUT"'
    assert f"api_server_http_request_duration_seconds_count{{{labels}}} 1.0" in shown
    assert f'api_server_http_request_duration_seconds_bucket{{{labels},le="0.002"}} 0.0' in shown
    assert f'api_server_http_request_duration_seconds_bucket{{{labels},le="0.005"}} 1.0' in shown
    assert "api_server_http_requests_inflight 0.0" in shown


def test_the_instance_tells_who_it_is() -> None:
    metrics = Metrics()
    metrics.expose_instance(Instance("zone", "east", "cp-1"))
    (line,) = (line for line in lines(metrics) if line.startswith("cp_info"))
    assert re.search(
        r'product="Kuma",version="[\d.]+",mode="zone",zone="east",instance_id="cp-1"} 1.0$', line
    )


def test_this_process_and_its_child_are_shown() -> None:
    metrics = Metrics()
    metrics.expose_process("front", os.getpid())
    shown = lines(metrics)
    for name in ("process_resident_memory_bytes", "process_cpu_seconds_total", "process_open_fds"):
        assert any(line.startswith(f"{name} ") for line in shown)
        assert any(line.startswith(f"front_{name} ") for line in shown)


def test_undeclared_metrics_are_refused() -> None:
    with pytest.raises(KeyError):
        Metrics().expose("kuma_cp_other", lambda: 1)


def test_names_are_unique_and_plain() -> None:
    names = [spec.name for spec in METRICS]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z][a-z_]*", name) for name in names)
