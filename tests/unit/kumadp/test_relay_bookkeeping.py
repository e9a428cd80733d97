"""Backlog of requests, endings of streams, waits after refusals, limited log lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.relay.backlog import Backlog, BacklogFull
from kumadp.relay.ending import Ending, Holds, LineLimit


@given(st.lists(st.one_of(st.binary(max_size=50), st.none()), max_size=100))
def test_the_backlog_is_a_queue_that_knows_its_size(operations: list[bytes | None]) -> None:
    backlog, model = Backlog(), list[bytes]()
    for raw in operations:
        if raw is not None:
            backlog.put(raw)
            model.append(raw)
        elif model:
            assert backlog.get() == model.pop(0)
        assert (len(backlog), backlog.size) == (len(model), sum(map(len, model)))


def test_the_backlog_warns_once_and_then_refuses() -> None:
    backlog = Backlog(warn_bytes=10, max_bytes=20)
    assert [backlog.put(b"12345") for _ in range(4)] == [False, False, True, False]
    with pytest.raises(BacklogFull, match="20 bytes of requests wait"):
        backlog.put(b"x")
    backlog.get()
    assert backlog.put(b"x") is False


def test_any_number_of_small_requests_fits() -> None:
    backlog = Backlog()
    for _ in range(100_000):
        backlog.put(b"x")
    assert len(backlog) == 100_000


@pytest.mark.parametrize(
    ("code", "by_upstream", "refused"),
    [
        ("UNAUTHENTICATED", True, True),
        ("PERMISSION_DENIED", True, True),
        ("UNAUTHENTICATED", False, False),
        ("UNAVAILABLE", True, False),
        ("OK", True, False),
    ],
)
def test_refusals_come_from_the_control_plane(code: str, by_upstream: bool, refused: bool) -> None:
    assert Ending(code, "x", by_upstream).refused is refused


def test_reasons_are_one_line() -> None:
    reason = Ending("UNAUTHENTICATED", "token\n is expired").reason()
    assert reason == "the control plane refuses this proxy (UNAUTHENTICATED): token is expired"
    assert Ending("UNAVAILABLE").reason() == "UNAVAILABLE: no reason given"


def test_a_refused_envoy_waits_longer_each_time() -> None:
    holds, refused = Holds(), Ending("UNAUTHENTICATED")
    assert [holds.after(refused, 0.999_999) for _ in range(7)] == pytest.approx(
        [1, 2, 4, 8, 16, 30, 30], rel=1e-3
    )
    assert holds.after(Ending("UNAVAILABLE"), 0.5) == 0.0
    assert holds.after(refused, 0.0) == 0.5
    holds.answered()
    assert holds.after(refused, 0.0) == 0.5


def test_a_method_that_is_not_served_is_asked_for_ever_less_often() -> None:
    """A control plane without health discovery answers UNIMPLEMENTED for as long as it runs."""
    holds, missing = Holds(), Ending("UNIMPLEMENTED")
    assert not missing.refused
    assert [holds.after(missing, 0.0) for _ in range(6)] == [0.5, 1, 2, 4, 8, 15]
    assert holds.after(Ending("UNIMPLEMENTED", by_upstream=False), 0.0) == 0.0


def test_in_an_outage_health_discovery_is_asked_for_patiently() -> None:
    holds, outage = Holds(also_in_outages=True), Ending("UNAVAILABLE")
    assert [holds.after(outage, 0.0) for _ in range(4)] == [0.5, 1, 1.5, 1.5]
    holds.answered()
    assert holds.after(outage, 0.0) == 0.5
    assert holds.after(Ending("OK"), 0.5) == 0.0
    assert holds.after(Ending("CANCELLED", by_upstream=False), 0.5) == 0.0


def test_a_line_passes_after_ever_longer_intervals() -> None:
    limit = LineLimit(interval=10.0, longest=30.0)
    assert limit.admit("a", 0.0) == "a"
    assert limit.admit("a", 1.0) is None
    assert limit.admit("b", 1.0) == "b"
    assert limit.admit("a", 9.9) is None
    assert limit.admit("a", 10.0) == "a (and 2 times before)"
    assert limit.admit("a", 29.9) is None
    assert limit.admit("a", 30.0) == "a (and 1 times before)"
    assert limit.admit("a", 59.9) is None
    assert limit.admit("a", 60.0) == "a (and 1 times before)"
    assert limit.admit("a", 89.9) is None
    # Another outage, long after the first.
    assert limit.admit("a", 300.0) == "a (and 1 times before)"
    assert limit.admit("a", 310.0) == "a"


def test_the_memory_of_lines_is_bounded() -> None:
    limit = LineLimit()
    for number in range(10_000):
        limit.admit(str(number), 0.0)
    assert len(limit._last) <= 256
