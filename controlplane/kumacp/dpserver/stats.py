"""What the data-plane server counts; plain numbers that an exporter may read at any time."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

from kumamesh.xds import UPDATE_ORDER

CHANGE_TO_ACK_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


@dataclass(slots=True)
class Histogram:
    """Observations in seconds; `buckets[i]` counts those up to `bounds[i]`, the last those above all."""

    bounds: tuple[float, ...] = CHANGE_TO_ACK_BOUNDS_S
    buckets: list[int] = field(default_factory=list)
    count: int = 0
    sum: float = 0.0

    def __post_init__(self) -> None:
        self.buckets = [0] * (len(self.bounds) + 1)

    def observe(self, seconds: float) -> None:
        self.buckets[bisect_left(self.bounds, seconds)] += 1
        self.count += 1
        self.sum += seconds


@dataclass(slots=True)
class DpServerStats:
    """Pushes, ACKs and NACKs by the short name of the type, refused tokens by the class of the fault, changes
    of inbounds by the new state."""

    streams_active: int = 0
    streams_total: int = 0
    streams_refused: int = 0
    pushes: Counter[str] = field(default_factory=Counter)
    acks: Counter[str] = field(default_factory=Counter)
    nacks: Counter[str] = field(default_factory=Counter)
    tokens_refused: Counter[str] = field(default_factory=Counter)
    wakes: int = 0
    certificates_issued: int = 0
    certificates_failed: int = 0
    registrations: int = 0
    deregistrations: int = 0
    insight_writes: int = 0
    hds_streams_active: int = 0
    hds_specifiers: int = 0
    hds_reports: int = 0
    inbound_state_changes: Counter[str] = field(default_factory=Counter)
    change_to_ack: Histogram = field(default_factory=Histogram)


def short_type(type_url: str) -> str:
    """`Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`; clients' inventions are `other`."""
    return type_url.rpartition(".")[2] if type_url in UPDATE_ORDER else "other"
