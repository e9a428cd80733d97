"""When proxies that are gone are removed (contract 3.3)."""

from __future__ import annotations

import pytest

from kumacp.dpserver.auth import fault
from kumacp.dpserver.lifecycle import (
    MAX_RECONNECT_BACKOFF_S,
    Ending,
    Registrations,
    Removal,
    ending_for,
)
from kumacp.identity.signing_keys import KeyRing
from kumamesh.resource import ResourceKey
from kumamesh.tokens import DataplaneClaims, SigningKey, TokenError, generate_signing_key, issue

DELAY = 10.0
WEB = ResourceKey("Dataplane", "default", "web-1")
API = ResourceKey("Dataplane", "default", "api-1")


def connected(*proxies: ResourceKey) -> Registrations:
    registrations = Registrations(DELAY)
    for proxy in proxies:
        assert registrations.connect(proxy, f"s-{proxy.name}")
    return registrations


@pytest.mark.parametrize("ending", [Ending.CLEAN, Ending.REJECTED])
def test_a_proxy_that_says_goodbye_or_lost_its_token_goes_at_once(ending: Ending) -> None:
    registrations = connected(WEB)
    registrations.disconnect(WEB, "s-web-1", ending, 100.0)
    assert registrations.due(100.0) == [Removal(WEB, "s-web-1")]
    assert registrations.next_at() is None


def test_a_proxy_that_vanished_has_time_to_come_back() -> None:
    registrations = connected(WEB)
    registrations.disconnect(WEB, "s-web-1", Ending.LOST, 100.0)
    assert registrations.next_at() == 110.0
    assert registrations.due(109.9) == []
    assert registrations.connect(WEB, "s-2")
    assert registrations.next_at() is None
    assert registrations.due(1000.0) == []


def test_a_shutdown_removes_nobody() -> None:
    registrations = connected(WEB)
    registrations.disconnect(WEB, "s-web-1", Ending.SHUTDOWN, 100.0)
    assert registrations.next_at() is None


def test_one_stream_per_proxy() -> None:
    registrations = connected(WEB)
    assert not registrations.connect(WEB, "second")
    registrations.disconnect(WEB, "second", Ending.LOST, 100.0)
    assert registrations.connected(WEB)
    assert registrations.next_at() is None


def test_a_proxy_of_an_earlier_control_plane_has_the_longest_backoff_more() -> None:
    registrations = Registrations(DELAY)
    registrations.adopt(WEB, "old", 100.0)
    registrations.adopt(API, "older", 100.0)
    assert registrations.connect(API, "new")
    assert registrations.next_at() == 100.0 + DELAY + MAX_RECONNECT_BACKOFF_S
    assert registrations.due(140.0) == [Removal(WEB, "old")]


def test_a_proxy_that_is_there_already_is_not_adopted() -> None:
    registrations = connected(WEB)
    registrations.adopt(WEB, "old", 100.0)
    assert registrations.next_at() is None


def test_removals_come_in_order_and_failed_ones_again() -> None:
    registrations = connected(WEB, API)
    registrations.disconnect(API, "s-api-1", Ending.LOST, 101.0)
    registrations.disconnect(WEB, "s-web-1", Ending.LOST, 100.0)
    first, second = registrations.due(200.0)
    assert (first.proxy, second.proxy) == (WEB, API)
    registrations.retry(first, 200.0)
    assert registrations.next_at() == 210.0
    assert registrations.connect(API, "new")
    registrations.retry(second, 200.0)
    assert registrations.due(300.0) == [first]


@pytest.mark.parametrize(
    ("what", "ending"),
    [("revoked", Ending.REJECTED), ("expired", Ending.REJECTED), ("malformed", Ending.LOST)],
)
def test_only_a_token_that_is_over_costs_the_registration_at_once(what: str, ending: Ending) -> None:
    assert ending_for(what) is ending


def test_a_token_whose_key_is_gone_is_not_over() -> None:
    token = issue(DataplaneClaims(), SigningKey("1", generate_signing_key()), now=0.0, valid_for_s=60.0)
    with pytest.raises(TokenError, match="no signing key") as caught:
        KeyRing([]).verify_dataplane(token, "default", 1.0)
    assert ending_for(fault(str(caught.value))) is Ending.LOST
