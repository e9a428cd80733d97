from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp_dns.figures import (
    BOUNDS,
    MAX_REASONS,
    QTYPES,
    RCODES,
    SOURCES,
    Durations,
    Figures,
    Snapshot,
    decode,
    encode,
    merge,
)
from kumadp_dns.serving.control import MAX_FRAME_BYTES

naturals = st.integers(0, 2**63)
seconds = st.floats(0, 1e9, allow_nan=False)
histograms = st.builds(
    Durations, st.lists(naturals, min_size=len(BOUNDS) + 1, max_size=len(BOUNDS) + 1).map(tuple), seconds
)
snapshots = st.builds(
    Snapshot,
    queries=st.fixed_dictionaries({(q, s): st.integers(1, 2**63) for q in QTYPES for s in SOURCES}),
    rcodes=st.fixed_dictionaries({rcode: st.integers(1, 2**63) for rcode in RCODES}),
    durations=histograms,
    upstream_durations=histograms,
    failures=st.dictionaries(st.text(max_size=20), naturals, max_size=MAX_REASONS),
    names=naturals,
    loaded_at=seconds,
)


@given(snapshots)
def test_figures_arrive_as_they_were_told(snapshot: Snapshot) -> None:
    assert decode(encode(snapshot)) == snapshot


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="qrfdut A-local0123456789.\n").map(str.encode)))
def test_whatever_else_is_told_is_refused_with_a_value_error(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(decode(data), Snapshot)


def test_a_negative_count_is_none() -> None:
    with pytest.raises(ValueError, match="no count"):
        decode(b"r noerror -1")


def test_answers_count_by_type_source_and_code() -> None:
    figures = Figures()
    figures.count("A", "local", "NOERROR", 3)
    figures.count("AAAA", "upstream", "NXDOMAIN")
    figures.count("HTTPS", "upstream", "REFUSED")
    figures.hits[1] += 5
    figures.hits[28] += 7
    snapshot = figures.snapshot()
    assert {key: n for key, n in snapshot.queries.items() if n} == {
        ("A", "local"): 8,
        ("AAAA", "local"): 7,
        ("AAAA", "upstream"): 1,
        ("other", "upstream"): 1,
    }
    assert snapshot.rcodes == {"noerror": 15, "nxdomain": 1, "servfail": 0, "other": 1}


def test_durations_fall_into_the_bucket_that_they_fill() -> None:
    figures = Figures()
    figures.observe(BOUNDS[0])
    figures.observe(BOUNDS[0] + 1e-9, 2)
    figures.observe(BOUNDS[-1] + 1.0)
    durations = figures.snapshot().durations
    assert (durations.counts[0], durations.counts[1], durations.counts[-1]) == (1, 2, 1)
    assert durations.total == 4
    assert durations.seconds == pytest.approx(BOUNDS[0] * 3 + BOUNDS[-1] + 1.0)


def test_reasons_are_few_and_short_however_many_there_are() -> None:
    figures = Figures()
    for number in range(10 * MAX_REASONS):
        figures.upstream_failure(f"{number} " + "x" * 1_000)
    failures = figures.snapshot().failures
    assert len(failures) == MAX_REASONS + 1
    assert failures["other"] == 9 * MAX_REASONS
    assert len(encode(figures.snapshot())) < MAX_FRAME_BYTES
    assert decode(encode(figures.snapshot())).failures == failures


def test_a_replaced_worker_takes_nothing_back() -> None:
    first, second = Figures(), Figures()
    first.count("A", "local", "NOERROR", 2)
    first.observe(0.1, 2)
    first.upstream_failure("timeout")
    first.table(7, 100.0)
    second.count("A", "local", "SERVFAIL")
    second.observe(0.2)
    second.upstream_failure("timeout")
    both = merge(first.snapshot(), second.snapshot())
    assert both.queries["A", "local"] == 3
    assert both.rcodes["noerror"] == 2
    assert both.rcodes["servfail"] == 1
    assert both.durations.total == 3
    assert both.durations.seconds == pytest.approx(0.4)
    assert both.failures == {"timeout": 2}
    assert (both.names, both.loaded_at) == (7, 100.0)
    second.table(0, 200.0)
    both = merge(first.snapshot(), second.snapshot())
    assert (both.names, both.loaded_at) == (0, 200.0)
