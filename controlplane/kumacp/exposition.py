"""Prometheus' text format 0.0.4. Names are written as they are declared: those that Kuma has, too, carry no
suffix `_total` there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import accumulate

from kumacp.figures import Histogram

Labels = tuple[str, ...]


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
