"""What /metrics shows."""

from collections import Counter

import pytest

from kumacp.dpserver.stats import DpServerStats
from kumacp.metrics import METRICS, Metrics
from kumacp.xds.hub import Counters


def lines(metrics):
    return metrics.render().decode().splitlines()


def test_values_are_read_when_they_are_asked_for():
    metrics, writes = Metrics(), Counter({"create": 1})
    metrics.expose("store_writes", lambda: writes)
    assert 'store_writes_total{operation="create"} 1.0' in lines(metrics)
    writes["create"] = 7
    assert 'store_writes_total{operation="create"} 7.0' in lines(metrics)


def test_the_data_plane_server_shows_all_its_counters():
    metrics, stats = Metrics(), DpServerStats(streams_active=3, certificates_issued=4)
    stats.pushes["Cluster"] = 5
    stats.tokens_refused["expired"] = 2
    stats.change_to_ack.observe(0.02)
    stats.change_to_ack.observe(99.0)
    metrics.expose_dp_server(stats)
    shown = lines(metrics)
    assert "xds_streams_active 3.0" in shown
    assert "certificates_issued_total 4.0" in shown
    assert 'xds_pushes_total{type="Cluster"} 5.0' in shown
    assert 'tokens_refused_total{reason="expired"} 2.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="0.01"} 0.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="0.025"} 1.0' in shown
    assert 'xds_change_to_ack_seconds_bucket{le="+Inf"} 2.0' in shown
    assert "xds_change_to_ack_seconds_count 2.0" in shown


def test_the_hub_shows_its_counters():
    class Hub:
        counters = Counters(built=10, reused=990, woken=5, held=8)

    metrics = Metrics()
    metrics.expose_hub(Hub())
    shown = lines(metrics)
    assert "xds_units_built_total 10.0" in shown
    assert "xds_units_reused_total 990.0" in shown
    assert "xds_units_held 8.0" in shown
    assert "xds_proxies_woken_total 5.0" in shown


def test_the_process_is_shown_too():
    assert any(line.startswith("process_resident_memory_bytes") for line in lines(Metrics()))


def test_undeclared_metrics_are_refused():
    with pytest.raises(KeyError):
        Metrics().expose("kuma_cp_other", lambda: 1)


def test_names_are_unique():
    names = [spec.name for spec in METRICS]
    assert len(names) == len(set(names))
