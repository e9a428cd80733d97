"""Metrics of the control plane, read from the counters of its rooms when somebody asks for them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Read = Callable[[], float | Mapping[str, float]]
"""A number, or numbers by the value of the metric's label."""


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric is; counters get the suffix `_total`."""

    name: str
    help: str
    counter: bool = True
    label: str = ""


METRICS = (
    MetricSpec("kuma_cp_xds_streams", "Connected xDS streams", counter=False),
    MetricSpec("kuma_cp_xds_pushes", "Delta responses sent", label="type"),
    MetricSpec("kuma_cp_xds_acks", "Delta responses accepted by proxies", label="type"),
    MetricSpec("kuma_cp_xds_nacks", "Delta responses refused by proxies", label="type"),
    MetricSpec("kuma_cp_xds_units_built", "Shared xDS resources built and serialised"),
    MetricSpec("kuma_cp_xds_units_reused", "Shared xDS resources that a proxy got without building"),
    MetricSpec("kuma_cp_xds_proxies_woken", "Proxies told that something of theirs changed"),
    MetricSpec("kuma_cp_store_writes", "Committed writes", label="operation"),
    MetricSpec("kuma_cp_certificates_issued", "Workload certificates issued"),
    MetricSpec("kuma_cp_tokens_refused", "Streams refused or ended because of their token"),
    MetricSpec("kuma_cp_api_requests", "Requests to the REST API", label="status"),
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


def _family(spec: MetricSpec, value: float | Mapping[str, float]) -> Metric:
    kind = CounterMetricFamily if spec.counter else GaugeMetricFamily
    labelled = isinstance(value, Mapping)
    family = kind(spec.name, spec.help, labels=[spec.label] if labelled else None)
    samples = value.items() if isinstance(value, Mapping) else [("", value)]
    for label, number in samples:
        family.add_metric([label] if labelled else [], number)
    return family
