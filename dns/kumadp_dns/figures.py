"""What the name server counts, under Kuma's labels (`kuma_dp_dns_*`); numbers only, exposed by the agent."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

QTYPES = ("A", "AAAA", "other")
SOURCES = ("local", "upstream")
RCODES = ("noerror", "nxdomain", "servfail", "other")
BOUNDS = (
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
)
"""Upper ends of the histograms' buckets in seconds: those of Prometheus, and finer ones below 5 ms."""
MAX_REASONS = 16
"""Different reasons of upstream failures; whatever comes on top counts as "other"."""

_MAX_REASON_CHARS = 64
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram: `counts[i]` took more than `BOUNDS[i - 1]` and at most `BOUNDS[i]` seconds."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    seconds: float = 0.0

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything counted up to a moment; counters never go down, also when the worker is replaced."""

    queries: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """By type and source: `kuma_dp_dns_queries_total{qtype,source}`."""
    rcodes: Mapping[str, int] = field(default_factory=dict)
    """`kuma_dp_dns_response_codes_total{rcode}`."""
    durations: Durations = Durations()
    """`kuma_dp_dns_request_duration_seconds`: from when the worker takes a query from its socket until the
    kernel has the answer. Answers of one batch leave together and count with the batch's duration. How long
    a query waited in the socket's buffer is not part of it."""
    upstream_durations: Durations = Durations()
    """`kuma_dp_dns_upstream_request_duration_seconds`: of each answer that an upstream server gave."""
    failures: Mapping[str, int] = field(default_factory=dict)
    """By reason; their sum is `kuma_dp_dns_upstream_request_failure_count`."""
    names: int = 0
    """`kuma_dp_dns_entries_total`."""
    loaded_at: float | None = None
    """When the agent was given the table (monotonic, the same in all processes); None: no table yet."""


class Figures:
    """The counters of one worker."""

    def __init__(self) -> None:
        self.hits = [0] * 256
        """Answers that were found ready, by the low byte of the type: all that the fast path has time for."""
        self._queries = {(qtype, source): 0 for qtype in QTYPES for source in SOURCES}
        self._rcodes = dict.fromkeys(RCODES, 0)
        self._durations = _Accumulator()
        self._upstream = _Accumulator()
        self._failures: dict[str, int] = {}
        self._names = 0
        self._loaded_at: float | None = None

    def count(self, qtype: str, source: str, rcode: str, n: int = 1) -> None:
        """`n` answers; types and rcodes that Kuma does not tell apart are "other"."""
        key = (qtype, source)
        self._queries[key if key in self._queries else ("other", source)] += n
        rcode = rcode.lower()
        self._rcodes[rcode if rcode in self._rcodes else "other"] += n

    def observe(self, seconds: float, n: int = 1) -> None:
        """`n` answers that took so long."""
        self._durations.add(seconds, n)

    def upstream_observe(self, seconds: float) -> None:
        self._upstream.add(seconds, 1)

    def upstream_failure(self, reason: str) -> None:
        """A server did not answer, or not usably: a word or two that say why, without names or addresses."""
        reason = reason[:_MAX_REASON_CHARS]
        if reason not in self._failures and len(self._failures) >= MAX_REASONS:
            reason = "other"
        self._failures[reason] = self._failures.get(reason, 0) + 1

    def table(self, names: int, loaded_at: float) -> None:
        self._names, self._loaded_at = names, loaded_at

    def snapshot(self) -> Snapshot:
        ready = {"A": self.hits[1], "AAAA": self.hits[28]}
        ready["other"] = sum(self.hits) - sum(ready.values())
        return Snapshot(
            queries=_sum(self._queries, {(qtype, "local"): n for qtype, n in ready.items()}),
            rcodes=_sum(self._rcodes, {"noerror": sum(self.hits)}),
            durations=self._durations.frozen(),
            upstream_durations=self._upstream.frozen(),
            failures=dict(self._failures),
            names=self._names,
            loaded_at=self._loaded_at,
        )


class _Accumulator:
    __slots__ = ("_counts", "_seconds")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self._seconds = 0.0

    def add(self, seconds: float, n: int) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += n
        self._seconds += seconds * n

    def frozen(self) -> Durations:
        return Durations(tuple(self._counts), self._seconds)


def merge(ended: Snapshot, running: Snapshot) -> Snapshot:
    """Counters of workers that have ended and of the one that runs; the table is the running one's, or still
    the last one as long as that has none."""
    told = running if running.loaded_at is not None else ended
    return replace(
        running,
        queries=_sum(ended.queries, running.queries),
        rcodes=_sum(ended.rcodes, running.rcodes),
        durations=_both(ended.durations, running.durations),
        upstream_durations=_both(ended.upstream_durations, running.upstream_durations),
        failures=_sum(ended.failures, running.failures),
        names=told.names,
        loaded_at=told.loaded_at,
    )


def encode(snapshot: Snapshot) -> bytes:
    """Lines of ASCII, one for each number or histogram; about 1 KB."""
    lines = [f"q {qtype} {source} {n}" for (qtype, source), n in snapshot.queries.items() if n]
    lines += [f"r {rcode} {n}" for rcode, n in snapshot.rcodes.items() if n]
    lines += [f"f {reason.encode().hex() or '-'} {n}" for reason, n in snapshot.failures.items()]
    for key, durations in (("d", snapshot.durations), ("u", snapshot.upstream_durations)):
        lines.append(f"{key} {durations.seconds!r} {' '.join(map(str, durations.counts))}")
    if snapshot.loaded_at is not None:
        lines.append(f"t {snapshot.names} {snapshot.loaded_at!r}")
    return "\n".join(lines).encode("ascii")


def decode(data: bytes) -> Snapshot:
    """Raises ValueError for anything that `encode` does not write."""
    queries: dict[tuple[str, str], int] = {}
    rcodes: dict[str, int] = {}
    failures: dict[str, int] = {}
    durations: dict[str, Durations] = {}
    names, loaded_at = 0, None
    for line in data.decode("ascii").split("\n"):
        match line.split(" "):
            case ["q", qtype, source, n] if qtype in QTYPES and source in SOURCES:
                queries[qtype, source] = _natural(n)
            case ["r", rcode, n] if rcode in RCODES:
                rcodes[rcode] = _natural(n)
            case ["f", reason, n] if len(failures) <= MAX_REASONS:
                failures["" if reason == "-" else bytes.fromhex(reason).decode()] = _natural(n)
            case [("d" | "u") as key, seconds, *counts] if len(counts) == len(BOUNDS) + 1:
                durations[key] = Durations(tuple(map(_natural, counts)), float(seconds))
            case ["t", n, moment]:
                names, loaded_at = _natural(n), float(moment)
            case _:
                raise ValueError(f"no figure: {line[:40]!a}")
    return Snapshot(
        queries,
        rcodes,
        durations.get("d", Durations()),
        durations.get("u", Durations()),
        failures,
        names,
        loaded_at,
    )


def _natural(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"no count: {text[:40]!a}")
    return int(text)


def _sum(one: Mapping[_Key, int], other: Mapping[_Key, int]) -> dict[_Key, int]:
    return {key: one.get(key, 0) + other.get(key, 0) for key in {**one, **other}}


def _both(one: Durations, other: Durations) -> Durations:
    counts = tuple(a + b for a, b in zip(one.counts, other.counts, strict=True))
    return Durations(counts, one.seconds + other.seconds)
