"""The metrics page about names."""

from __future__ import annotations

from kumadp.name_metrics import METRICS, FirstTable, page
from kumadp_dns.figures import Figures, Snapshot


def samples(text: str) -> dict[str, float]:
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name: float(value) for name, _, value in lines}


def test_everything_counted_is_told_under_kuma_s_names() -> None:
    figures = Figures()
    figures.count("A", "local", "noerror", 3)
    figures.count("MX", "upstream", "servfail")
    figures.observe(0.002, 3)
    figures.upstream_observe(0.5)
    figures.upstream_failure("timeout")
    figures.upstream_failure("refused")
    figures.table(7, 100.0)
    found = samples(page(figures.snapshot(), FirstTable(0.7), 130.0))
    assert found['kuma_dp_dns_queries_total{qtype="A",source="local"}'] == 3
    assert found['kuma_dp_dns_queries_total{qtype="other",source="upstream"}'] == 1
    assert found['kuma_dp_dns_response_codes_total{rcode="servfail"}'] == 1
    assert found["kuma_dp_dns_request_duration_seconds_count"] == 3
    assert round(found["kuma_dp_dns_request_duration_seconds_sum"], 6) == 0.006
    assert found["kuma_dp_dns_upstream_request_duration_seconds_count"] == 1
    assert found["kuma_dp_dns_upstream_request_failure_count"] == 2
    assert found['kuma_dp_dns_upstream_failures_total{reason="timeout"}'] == 1
    assert found["kuma_dp_dns_entries_total"] == 7
    assert found["kuma_dp_dns_table_age_seconds"] == 30.0
    assert found["kuma_dp_dns_config_ready_wait_seconds_sum"] == 0.7
    assert found["kuma_dp_dns_ready_without_names"] == 0


def test_before_the_first_table_there_is_no_age_and_no_wait() -> None:
    found = samples(page(Snapshot(), FirstTable(nameless=True), 1.0))
    assert "kuma_dp_dns_table_age_seconds" not in found
    assert found["kuma_dp_dns_config_ready_wait_seconds_count"] == 0
    assert found["kuma_dp_dns_ready_without_names"] == 1


def test_every_metric_is_declared() -> None:
    figures = Figures()
    figures.table(1, 0.0)
    text = page(figures.snapshot(), FirstTable(), 1.0)
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} == {
        spec.name for spec in METRICS
    }
