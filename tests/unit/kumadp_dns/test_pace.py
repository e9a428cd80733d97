from __future__ import annotations

from kumadp_dns.serving.pace import DENSE, ENOUGH, Pace


def paced(rate: float, at_once: int, *, pace: Pace | None = None, begin: float = 100.0) -> Pace:
    """After a tenth of a second of queries at this rate."""
    pace = pace or Pace()
    for number in range(int(rate / 10 / at_once)):
        pace.took(at_once, begin + number * at_once / rate)
    return pace


def test_few_queries_are_never_kept_waiting() -> None:
    assert not Pace().pays
    for at_once in (1, 8, ENOUGH, 64):
        assert not paced(5_000, at_once).pays
        assert not paced(DENSE * 0.9, at_once).pays


def test_many_that_come_in_small_numbers_are_let_gather() -> None:
    for at_once in (1, 8, ENOUGH - 1):
        assert paced(DENSE * 1.5, at_once).pays


def test_many_that_come_in_large_numbers_are_taken_as_they_come() -> None:
    assert not paced(DENSE * 5, ENOUGH).pays


def test_it_ends_with_the_rush() -> None:
    pace = paced(DENSE * 5, 8)
    assert pace.pays
    assert not paced(5_000, 1, pace=pace, begin=101.0).pays


def test_one_burst_after_a_silence_is_not_a_rush() -> None:
    pace = Pace()
    pace.took(64, 100.0)
    for number in range(4):
        pace.took(64, 200.0 + number * 1e-4)
    assert not pace.pays


def test_after_a_rush_one_query_finds_out_that_it_is_over() -> None:
    pace = paced(DENSE * 5, 8)
    assert pace.pays
    pace.took(1, 101.0)
    assert not pace.pays
