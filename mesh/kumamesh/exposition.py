"""Prometheus' text format 0.0.4. Names are written as they are declared: those that Kuma has, too, carry no
suffix `_total` there."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from itertools import accumulate

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LATENCY_BOUNDS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0)
"""A p50 of a millisecond and a p99 of half a minute can both be read from these."""

Labels = tuple[str, ...]


@dataclass(slots=True)
class Histogram:
    """Observations in seconds; `buckets[i]` counts those up to `bounds[i]`, the last those above all."""

    bounds: tuple[float, ...] = LATENCY_BOUNDS_S
    buckets: list[int] = field(default_factory=list)
    count: int = 0
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.buckets = self.buckets or [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.count += 1
        self.sum += seconds


class Kind(Enum):
    """As Prometheus calls them."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """What a metric is; `labels` are their names."""

    name: str
    help: str
    kind: Kind = Kind.COUNTER
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Summary:
    """How many, and their sum."""

    count: int
    sum: float


Number = float | Histogram | Summary
Value = Number | Mapping[str, Number] | Mapping[Labels, Number]
"""What is measured, or that by the values of the labels: a text for one label, a tuple for several."""


def exposition(metrics: Iterable[tuple[MetricSpec, Value]]) -> str:
    """Everything, with HELP and TYPE."""
    return "".join(f"{line}\n" for spec, value in metrics for line in _lines(spec, value))


def _lines(spec: MetricSpec, value: Value) -> Iterator[str]:
    yield f"# HELP {spec.name} {spec.help}"
    yield f"# TYPE {spec.name} {spec.kind.value}"
    if not isinstance(value, Mapping):
        yield from _samples(spec.name, {}, value)
        return
    for key, number in value.items():
        values = (key,) if isinstance(key, str) else key
        yield from _samples(spec.name, dict(zip(spec.labels, values, strict=True)), number)


def _samples(name: str, labels: Mapping[str, str], number: Number) -> Iterator[str]:
    if isinstance(number, Histogram):
        bounds = [*map(str, number.bounds), "+Inf"]
        for bound, below in zip(bounds, accumulate(number.buckets), strict=True):
            yield _sample(f"{name}_bucket", {**labels, "le": bound}, below)
    if isinstance(number, Histogram | Summary):
        yield _sample(f"{name}_sum", labels, number.sum)
        yield _sample(f"{name}_count", labels, number.count)
    else:
        yield _sample(name, labels, number)


def _sample(name: str, labels: Mapping[str, str], number: float) -> str:
    pairs = ",".join(f'{label}="{_escaped(value)}"' for label, value in labels.items())
    return f"{name}{{{pairs}}} {float(number)}" if pairs else f"{name} {float(number)}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
