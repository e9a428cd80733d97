"""Numbers that rooms count and the exporter reads: histograms, and labels that never get too many."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kumamesh.exposition import Histogram

MAX_LABELS = 200
"""Different label values of one figure; what comes after them is counted as `other`."""
OTHER = "other"


def count(counter: Counter[str], label: str) -> None:
    """One more of the label."""
    counter[label if label in counter or len(counter) < MAX_LABELS else OTHER] += 1


class Histograms:
    """One histogram for each combination of label values."""

    def __init__(self) -> None:
        self._by_labels: dict[tuple[str, ...], Histogram] = {}

    @property
    def by_labels(self) -> Mapping[tuple[str, ...], Histogram]:
        return self._by_labels

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        if labels not in self._by_labels and len(self._by_labels) >= MAX_LABELS:
            labels = (OTHER,) * len(labels)
        self._by_labels.setdefault(labels, Histogram()).observe(seconds)


_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"})
_ABORTED = "aborted"


class HttpTraffic:
    """Requests of one HTTP server: how many there are now, and how long those took that are over, by status
    and method."""

    def __init__(self) -> None:
        self.in_flight = 0
        self.durations = Histograms()

    def ended(self, method: str, status: int | None, seconds: float) -> None:
        """`status` None: there was no answer, because the client was gone."""
        code = _ABORTED if status is None else str(status)
        self.durations.observe((code, method if method in _METHODS else OTHER), seconds)
