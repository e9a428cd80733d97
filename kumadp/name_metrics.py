"""What there is to measure about names, under Kuma's metric names where the meaning is the same. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kumadp_dns.figures import BOUNDS, Durations, Snapshot
from kumamesh.exposition import Histogram, Kind, Labels, MetricSpec, Value, exposition

WAIT_BOUNDS_S = (0.1, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)

QUERIES = MetricSpec("kuma_dp_dns_queries_total", "Answered queries", labels=("qtype", "source"))
RESPONSE_CODES = MetricSpec("kuma_dp_dns_response_codes_total", "Answers", labels=("rcode",))
DURATIONS = MetricSpec(
    "kuma_dp_dns_request_duration_seconds", "From a query's arrival to its answer", Kind.HISTOGRAM
)
UPSTREAM_DURATIONS = MetricSpec(
    "kuma_dp_dns_upstream_request_duration_seconds", "Answers of the servers of resolv.conf", Kind.HISTOGRAM
)
UPSTREAM_FAILURES = MetricSpec(
    "kuma_dp_dns_upstream_request_failure_count", "Queries that a server of resolv.conf did not answer"
)
FAILURE_REASONS = MetricSpec(
    "kuma_dp_dns_upstream_failures_total", "The same by the reason", labels=("reason",)
)
ENTRIES = MetricSpec("kuma_dp_dns_entries_total", "Names in the table", Kind.GAUGE)
AGE = MetricSpec("kuma_dp_dns_table_age_seconds", "Since the table was taken over", Kind.GAUGE)
WAIT = MetricSpec(
    "kuma_dp_dns_config_ready_wait_seconds", "From the start to the first name table", Kind.HISTOGRAM
)
NAMELESS = MetricSpec(
    "kuma_dp_dns_ready_without_names", "1 while the proxy is ready without the names of the mesh", Kind.GAUGE
)
METRICS = (
    QUERIES,
    RESPONSE_CODES,
    DURATIONS,
    UPSTREAM_DURATIONS,
    UPSTREAM_FAILURES,
    FAILURE_REASONS,
    ENTRIES,
    AGE,
    WAIT,
    NAMELESS,
)


@dataclass(slots=True)
class FirstTable:
    """The wait for it: seconds, None while it lasts, and whether the proxy is ready without."""

    waited: float | None = None
    nameless: bool = False


def page(snapshot: Snapshot, first: FirstTable, now: float) -> str:
    """The text for Prometheus; `now` is monotonic time."""
    return exposition(_values(snapshot, first, now))


def _values(snapshot: Snapshot, first: FirstTable, now: float) -> Iterator[tuple[MetricSpec, Value]]:
    queries: dict[Labels, float] = {labels: n for labels, n in snapshot.queries.items()}  # noqa: C416 - typed
    yield QUERIES, queries
    yield RESPONSE_CODES, dict(snapshot.rcodes)
    yield DURATIONS, _histogram(snapshot.durations)
    yield UPSTREAM_DURATIONS, _histogram(snapshot.upstream_durations)
    yield UPSTREAM_FAILURES, sum(snapshot.failures.values())
    yield FAILURE_REASONS, dict(snapshot.failures)
    yield ENTRIES, snapshot.names
    if snapshot.loaded_at is not None:
        yield AGE, max(0.0, now - snapshot.loaded_at)
    wait = Histogram(WAIT_BOUNDS_S)
    if first.waited is not None:
        wait.observe(first.waited)
    yield WAIT, wait
    yield NAMELESS, int(first.nameless)


def _histogram(durations: Durations) -> Histogram:
    return Histogram(BOUNDS, list(durations.counts), durations.total, durations.seconds)
