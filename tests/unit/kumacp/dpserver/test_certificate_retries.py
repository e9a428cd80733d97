"""When certificates are made, renewed and tried again, whatever happens to the clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from kumacp.dpserver.renewal import Order, retry_pause
from kumacp.identity.ca import BACKDATE_S, Identity
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey

T0 = datetime(2026, 5, 1, tzinfo=UTC)
NOW = T0.timestamp()
DAY = 86_400.0
REQUEST = IdentityRequest(
    ResourceKey("Dataplane", "default", "web-1"), "default", "ca-1", ("web",), (), "1", DAY
)


def made(at: datetime = T0) -> Order:
    """The order that follows a certificate for a day, issued at a time."""
    begin, end = at - timedelta(seconds=BACKDATE_S), at + timedelta(seconds=DAY)
    return Order(REQUEST).made(Identity(b"", b"", begin, end), at.timestamp())


def test_pauses_double_up_to_five_minutes_however_often_it_fails() -> None:
    assert [retry_pause(failures) for failures in (0, 1, 2, 5, 6, 100_000)] == [5, 10, 20, 160, 300, 300]


def test_the_first_one_is_due_whatever_the_clock_says() -> None:
    assert all(Order(REQUEST).due(now) for now in (-1e12, 0.0, NOW, 1e12))
    assert not Order(REQUEST).renewal


def test_it_is_renewed_at_four_fifths_of_its_life() -> None:
    order = made()
    assert order.renewal
    assert not order.due(NOW)
    assert not order.due(NOW + 0.8 * DAY - 1)
    assert order.due(NOW + 0.8 * DAY)


def test_a_clock_that_was_set_forward_or_a_host_that_slept_makes_it_due() -> None:
    assert made().due(NOW + 30 * DAY)


def test_a_clock_that_was_set_back_a_little_changes_nothing() -> None:
    assert not made().due(NOW - BACKDATE_S + 1)


def test_a_clock_that_was_set_back_behind_its_beginning_makes_it_due() -> None:
    """It was made while the clock was ahead: no peer whose clock is right accepts it."""
    order = made()
    assert order.due(NOW - BACKDATE_S - 1)
    again = made(T0 - timedelta(days=1))
    assert not again.due(NOW - DAY)


def test_an_attempt_that_failed_is_made_again_though_the_clock_was_set_back() -> None:
    order = Order(REQUEST).failed(NOW).failed(NOW)
    assert order.failures == 2
    assert not order.due(NOW + 9)
    assert order.due(NOW + 10)
    assert not order.due(NOW - 200)
    assert order.due(NOW - DAY)
    assert order.at_once().due(NOW)


def test_a_certificate_that_lives_shorter_than_a_second_is_renewed_once_a_second() -> None:
    begin, end = T0 - timedelta(seconds=BACKDATE_S), T0 + timedelta(milliseconds=10)
    order = Order(REQUEST).made(Identity(b"", b"", begin, end), NOW)
    assert not order.due(NOW + 0.9)
    assert order.due(NOW + 1.0)
