"""Metrics of the control plane, read from the counters of its rooms when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from kumacp.dpserver.stats import DpServerStats
from kumacp.xds.hub import Counters

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram(Protocol):
    """Observations by bucket; `buckets` has one more than `bounds`, for what is above all of them."""

    bounds: tuple[float, ...]
    buckets: list[int]
    count: int
    sum: float


class CountingHub(Protocol):
    """The xDS hub."""

    @property
    def counters(self) -> Counters: ...


Value = float | Mapping[str, float] | Histogram
Read = Callable[[], Value]
"""A number, numbers by the value of the metric's label, or a histogram."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric is; counters get the suffix `_total`."""

    name: str
    help: str
    counter: bool = True
    label: str = ""


METRICS = (
    MetricSpec("xds_streams_active", "Connected xDS streams", counter=False),
    MetricSpec("xds_streams", "xDS streams ever opened"),
    MetricSpec("xds_streams_refused", "xDS streams that were not let in"),
    MetricSpec("xds_pushes", "Delta responses sent", label="type"),
    MetricSpec("xds_acks", "Delta responses accepted by proxies", label="type"),
    MetricSpec("xds_nacks", "Delta responses refused by proxies", label="type"),
    MetricSpec("xds_wakes", "Times that a stream was woken by a change"),
    MetricSpec("xds_change_to_ack_seconds", "From a change to the acceptance by a proxy"),
    MetricSpec("xds_units_built", "Shared xDS resources built and serialised"),
    MetricSpec("xds_units_reused", "Shared xDS resources handed to a further proxy"),
    MetricSpec("xds_units_held", "Shared xDS resources in memory", counter=False),
    MetricSpec("xds_proxies_woken", "Proxies told that something of theirs changed"),
    MetricSpec("hds_streams_active", "Connected health discovery streams", counter=False),
    MetricSpec("hds_specifiers", "Times that a proxy was told what to check"),
    MetricSpec("hds_reports", "Reports of proxies on what they checked"),
    MetricSpec("inbound_state_changes", "Inbounds whose state was found to be another one", label="state"),
    MetricSpec("store_writes", "Committed writes", label="operation"),
    MetricSpec("certificates_issued", "Workload certificates issued"),
    MetricSpec("certificates_failed", "Workload certificates that could not be issued"),
    MetricSpec("tokens_refused", "Tokens refused, at the start or during a stream", label="reason"),
    MetricSpec("proxies_registered", "Proxy resources stored for connecting proxies"),
    MetricSpec("proxies_deregistered", "Proxy resources removed after their proxy was gone"),
    MetricSpec("insight_writes", "Insights stored"),
    MetricSpec("api_requests", "Requests to the REST API", label="status"),
)


class Metrics:
    """The registry. `expose` connects a declared metric with the counter of the room that owns it."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self._specs = {spec.name: spec for spec in METRICS}
        self._reads: dict[str, Read] = {}
        self.registry.register(_Rooms(self._families))

    def expose(self, name: str, read: Read) -> None:
        """`read` is called at every scrape and must be cheap; KeyError for a name that is not in METRICS."""
        self._reads[self._specs[name].name] = read

    def expose_dp_server(self, stats: DpServerStats) -> None:
        """Everything that the data-plane server counts."""
        reads: dict[str, Read] = {
            "xds_streams_active": lambda: stats.streams_active,
            "xds_streams": lambda: stats.streams_total,
            "xds_streams_refused": lambda: stats.streams_refused,
            "xds_pushes": lambda: stats.pushes,
            "xds_acks": lambda: stats.acks,
            "xds_nacks": lambda: stats.nacks,
            "xds_wakes": lambda: stats.wakes,
            "xds_change_to_ack_seconds": lambda: stats.change_to_ack,
            "certificates_issued": lambda: stats.certificates_issued,
            "certificates_failed": lambda: stats.certificates_failed,
            "tokens_refused": lambda: stats.tokens_refused,
            "proxies_registered": lambda: stats.registrations,
            "proxies_deregistered": lambda: stats.deregistrations,
            "insight_writes": lambda: stats.insight_writes,
            "hds_streams_active": lambda: stats.hds_streams_active,
            "hds_specifiers": lambda: stats.hds_specifiers,
            "hds_reports": lambda: stats.hds_reports,
            "inbound_state_changes": lambda: stats.inbound_state_changes,
        }
        for name, read in reads.items():
            self.expose(name, read)

    def expose_hub(self, hub: CountingHub) -> None:
        """Everything that the xDS hub counts."""
        self.expose("xds_units_built", lambda: hub.counters.built)
        self.expose("xds_units_reused", lambda: hub.counters.reused)
        self.expose("xds_units_held", lambda: hub.counters.held)
        self.expose("xds_proxies_woken", lambda: hub.counters.woken)

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    def _families(self) -> Iterable[Metric]:
        for name, read in self._reads.items():
            yield _family(self._specs[name], read())


class _Rooms(Collector):
    def __init__(self, collect: Callable[[], Iterable[Metric]]) -> None:
        self._collect = collect

    def collect(self) -> Iterable[Metric]:
        return self._collect()


def _family(spec: MetricSpec, value: Value) -> Metric:
    if not isinstance(value, int | float | Mapping):
        return HistogramMetricFamily(spec.name, spec.help, buckets=_cumulative(value), sum_value=value.sum)
    kind = CounterMetricFamily if spec.counter else GaugeMetricFamily
    if not isinstance(value, Mapping):
        return kind(spec.name, spec.help, value=value)
    family = kind(spec.name, spec.help, labels=[spec.label])
    for label, number in value.items():
        family.add_metric([label], number)
    return family


def _cumulative(histogram: Histogram) -> Sequence[tuple[str, float]]:
    bounds = [*(str(bound) for bound in histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.buckets), strict=True))
