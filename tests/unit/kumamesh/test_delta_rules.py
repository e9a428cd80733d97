"""Each rule of the delta session on its own (DESIGN.md 3.3, 3.5)."""

from __future__ import annotations

import pytest

from delta_server import BACKOFF, Server, brief, only
from kumamesh.delta import Ack, DeltaRequest, Nack
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_first_request_of_clusters_and_listeners_without_names_is_a_wildcard(type_url: str) -> None:
    server = Server()
    server.put(type_url, a="1", b="1")
    assert brief(only(server.ask(type_url))) == ({"a": "1", "b": "1"}, ())


@pytest.mark.parametrize("type_url", [ENDPOINT, ROUTE, SECRET])
def test_first_request_of_other_types_without_names_asks_for_nothing(type_url: str) -> None:
    server = Server()
    server.put(type_url, a="1")
    assert server.ask(type_url) == []
    server.put(type_url, a="2")
    assert server.poll() == []


@pytest.mark.parametrize("type_url", [CLUSTER, SECRET])
def test_an_explicit_star_is_a_wildcard_for_every_type(type_url: str) -> None:
    server = Server()
    server.put(type_url, a="1")
    server.ack(only(server.ask(type_url, "*")))
    server.put(type_url, b="1")
    assert brief(only(server.poll())) == ({"b": "1"}, ())


@pytest.mark.parametrize("type_url", [CLUSTER, LISTENER])
def test_first_answer_to_a_wildcard_is_sent_even_if_empty(type_url: str) -> None:
    server = Server()
    response = only(server.ask(type_url))
    assert brief(response) == ({}, ())
    assert server.ack(response) == []


def test_unsubscribing_the_star_keeps_only_the_names_asked_for() -> None:
    server = Server()
    server.put(CLUSTER, a="1", b="1")
    response = only(server.ask(CLUSTER, "*", "a"))
    server.ack(response)
    server.drop(CLUSTER, "*")
    server.put(CLUSTER, a="2", b="2")
    assert brief(only(server.poll())) == ({"a": "2"}, ())


def test_a_name_dropped_under_a_wildcard_is_answered_with_what_the_wildcard_covers() -> None:
    server = Server()
    server.put(CLUSTER, a="1")
    server.ack(only(server.ask(CLUSTER, "*", "a", "ghost")))
    assert brief(only(server.drop(CLUSTER, "a", "ghost"))) == ({"a": "1"}, ("ghost",))


def test_a_name_asked_for_is_sent_even_if_the_client_has_its_version() -> None:
    server = Server()
    server.put(ENDPOINT, a="1")
    response = only(server.ask(ENDPOINT, "a", a="1"))
    assert brief(response) == ({"a": "1"}, ())
    server.ack(response)
    assert brief(only(server.ask(ENDPOINT, "a"))) == ({"a": "1"}, ())


def test_a_name_that_does_not_exist_is_answered_as_removed_and_sent_when_it_appears() -> None:
    server = Server()
    response = only(server.ask(SECRET, "later"))
    assert brief(response) == ({}, ("later",))
    server.ack(response)
    server.put(SECRET, later="1")
    assert brief(only(server.poll())) == ({"later": "1"}, ())


def test_initial_versions_leave_only_differences_and_removals() -> None:
    server = Server()
    server.put(CLUSTER, same="1", changed="2", new="1")
    server.session.on_request(
        DeltaRequest(LISTENER, initial_versions={"gone": "1"}, nonce="of-another-stream"), server.now
    )
    listeners = only(server.poll())
    assert brief(listeners) == ({}, ("gone",))
    server.ack(listeners)
    response = only(server.ask(CLUSTER, same="1", changed="1", gone="1"))
    assert brief(response) == ({"changed": "2", "new": "1"}, ("gone",))


def test_clusters_of_a_returning_client_stay_until_it_asked_for_its_listeners() -> None:
    server = Server()
    first = only(server.ask(CLUSTER, old="1"))
    assert brief(first) == ({}, ())
    assert server.ack(first) == []
    listeners = only(server.ask(LISTENER, uses_old="1"))
    assert listeners.removed == ("uses_old",)
    assert only(server.ack(listeners)).removed == ("old",)


def test_clusters_of_a_returning_client_without_listeners_go_after_a_while() -> None:
    server = Server()
    server.ack(only(server.ask(CLUSTER, old="1")))
    assert server.session.wake_at() == server.now + 2.0
    assert only(server.poll(after=2.0)).removed == ("old",)


def test_a_dropped_name_is_no_longer_sent() -> None:
    server = Server()
    server.put(ENDPOINT, a="1", b="1")
    server.ack(only(server.ask(ENDPOINT, "a", "b")))
    server.drop(ENDPOINT, "a")
    server.put(ENDPOINT, a="2", b="2")
    assert brief(only(server.poll())) == ({"b": "2"}, ())


def test_stale_nonces_judge_nothing_but_their_subscriptions_count() -> None:
    server = Server()
    server.put(ENDPOINT, a="1", b="1")
    response = only(server.ask(ENDPOINT, "a"))
    verdict = server.session.on_request(
        DeltaRequest(ENDPOINT, subscribe=("b",), nonce="999", error="?"), server.now
    )
    assert verdict is None
    assert server.poll() == []
    assert brief(only(server.ack(response))) == ({"b": "1"}, ())
    counters = server.session.counters[ENDPOINT]
    assert (counters.sent, counters.acked, counters.nacked) == (2, 1, 0)


def test_one_response_per_type_in_flight_and_bursts_coalesce_into_the_latest() -> None:
    server = Server()
    server.put(ENDPOINT, a="1", b="1")
    response = only(server.ask(ENDPOINT, "a", "b"))
    server.put(ENDPOINT, a="2")
    server.put(ENDPOINT, a="3", b="2")
    server.put(ENDPOINT, b="1")
    assert server.poll() == []
    assert brief(only(server.ack(response))) == ({"a": "3"}, ())


def test_a_touch_without_a_change_sends_nothing() -> None:
    server = Server()
    server.put(CLUSTER, a="1")
    server.ack(only(server.ask(CLUSTER)))
    server.session.touch(CLUSTER, ["a"], server.now)
    assert server.poll() == []


def test_a_refused_version_is_not_sent_again_until_it_changes() -> None:
    server = Server()
    server.put(LISTENER, a="bad")
    assert server.nack(only(server.ask(LISTENER)), "a: wrong") == []
    assert server.session.last_nack == Nack(LISTENER, ("a",), "a: wrong")
    server.session.touch(LISTENER, ["a"], server.now)
    assert server.poll(after=BACKOFF) == []
    server.put(LISTENER, a="good")
    assert brief(only(server.poll())) == ({"a": "good"}, ())


def test_a_refused_version_is_sent_again_when_the_client_asks_for_it() -> None:
    server = Server()
    server.put(SECRET, a="1")
    server.nack(only(server.ask(SECRET, "a")))
    server.now += BACKOFF
    assert brief(only(server.ask(SECRET, "a"))) == ({"a": "1"}, ())


def test_after_a_refusal_the_type_rests_and_other_types_do_not() -> None:
    server = Server()
    server.put(LISTENER, a="bad")
    server.nack(only(server.ask(LISTENER)))
    server.put(LISTENER, a="good")
    server.put(SECRET, s="1")
    assert [item.type_url for item in server.ask(SECRET, "s")] == [SECRET]
    assert server.session.wake_at() == server.now + BACKOFF
    assert server.poll(after=BACKOFF - 0.1) == []
    assert brief(only(server.poll(after=0.1))) == ({"a": "good"}, ())


@pytest.mark.parametrize("error", ["listener(s) c: bad chain", "it is bad", "a thing is bad"])
def test_a_bad_resource_does_not_take_the_others_of_its_response_with_it(error: str) -> None:
    server = Server()
    server.put(LISTENER, a="1", b="1", c="bad", d="1")
    held: dict[str, str] = {}
    responses, refusals = server.ask(LISTENER), 0
    while responses:
        response = only(responses)
        versions, _ = brief(response)
        if "c" in versions:
            refusals += 1
            responses = server.nack(response, error) or server.poll(after=BACKOFF)
        else:
            held |= versions
            responses = server.ack(response)
    assert held == {"a": "1", "b": "1", "d": "1"}
    assert refusals <= 4
    assert server.session.wake_at() is None


def test_a_removal_refused_together_with_a_bad_resource_is_sent_again() -> None:
    server = Server()
    server.put(LISTENER, a="1", b="1")
    server.ack(only(server.ask(LISTENER)))
    server.put(LISTENER, a="bad", b=None)
    server.nack(only(server.poll()))
    assert brief(only(server.poll(after=BACKOFF))) == ({}, ("b",))


def test_pushes_go_in_the_order_clusters_assignments_listeners_routes_secrets() -> None:
    server = Server()
    types = [CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET]
    for type_url in types:
        server.put(type_url, x="1")
    for type_url in types:
        server.ack(only(server.ask(type_url, "x")))
    for type_url in reversed(types):
        server.put(type_url, x="2")
    first = server.poll()
    assert [item.type_url for item in first] == [CLUSTER, ENDPOINT, SECRET]
    assert [item.type_url for item in server.ack(first[0])] == [LISTENER, ROUTE]


def test_a_changed_cluster_is_followed_by_its_assignment() -> None:
    server = Server()
    server.put(CLUSTER, a="1", static="1")
    server.put(ENDPOINT, a="1")
    server.ack(only(server.ask(CLUSTER)))
    server.ack(only(server.ask(ENDPOINT, "a")))
    server.put(CLUSTER, a="2", static="2")
    assert [(item.type_url, brief(item)[0]) for item in server.poll()] == [
        (CLUSTER, {"a": "2", "static": "2"}),
        (ENDPOINT, {"a": "1"}),
    ]


def test_listeners_do_not_wait_for_ever_for_clusters_that_stay_cold() -> None:
    server = Server()
    server.put(CLUSTER, a="1")
    server.ask(CLUSTER)
    server.put(LISTENER, x="1")
    assert server.ask(LISTENER) == []
    assert server.session.wake_at() == server.now + 15.0
    assert brief(only(server.poll(after=15.0))) == ({"x": "1"}, ())


def test_a_cluster_goes_only_when_listeners_that_could_name_it_were_taken() -> None:
    server = Server()
    server.put(CLUSTER, old="1")
    server.put(LISTENER, x="names old")
    server.ack(only(server.ask(CLUSTER)))
    server.ack(only(server.ask(LISTENER)))
    server.put(LISTENER, x="names new")
    server.put(CLUSTER, old=None, new="1")
    clusters = only(server.poll())
    assert brief(clusters) == ({"new": "1"}, ())
    listeners = only(server.ack(clusters))
    assert brief(listeners) == ({"x": "names new"}, ())
    assert brief(only(server.ack(listeners))) == ({}, ("old",))


def test_a_cluster_stays_while_a_refused_listener_may_still_name_it() -> None:
    server = Server()
    server.put(CLUSTER, old="1", new="1")
    server.put(LISTENER, x="names old")
    server.ack(only(server.ask(CLUSTER)))
    server.ack(only(server.ask(LISTENER)))
    server.put(LISTENER, x="names new, but bad")
    server.put(CLUSTER, old=None)
    server.nack(only(server.poll()))
    assert server.poll(after=BACKOFF) == []
    server.put(LISTENER, x="names new")
    assert brief(only(server.ack(only(server.poll())))) == ({}, ("old",))


def test_removals_go_listeners_then_routes_then_clusters_then_assignments() -> None:
    server = Server()
    types = [CLUSTER, ENDPOINT, LISTENER, ROUTE, SECRET]
    for type_url in types:
        server.put(type_url, x="1")
        server.ack(only(server.ask(type_url, "*")))
    for type_url in types:
        server.put(type_url, x=None)
    order, responses = [], server.poll()
    while responses:
        response = only(responses)
        order.append((response.type_url, response.removed))
        responses = server.ack(response)
    assert order == [(url, ("x",)) for url in (LISTENER, ROUTE, CLUSTER, ENDPOINT, SECRET)]


def test_an_ack_tells_when_the_oldest_change_in_it_was_announced() -> None:
    server = Server()
    server.put(CLUSTER, a="1")
    server.ack(only(server.ask(CLUSTER)))
    server.put(CLUSTER, a="2")
    server.now += 1.0
    server.put(CLUSTER, a="3")
    response = only(server.poll(after=1.0))
    verdict = server.session.on_request(DeltaRequest(CLUSTER, nonce=response.nonce), server.now)
    assert verdict == Ack(CLUSTER, server.now - 2.0)


def test_a_type_is_settled_when_all_of_it_is_accepted_or_there_is_nothing() -> None:
    server = Server()
    assert server.session.settled(SECRET)
    server.put(SECRET, identity="1")
    assert not server.session.settled(SECRET)
    first = only(server.ask(SECRET, "identity"))
    assert not server.session.settled(SECRET)
    server.ack(first)
    assert server.session.settled(SECRET)
    server.put(SECRET, identity="2")
    assert not server.session.settled(SECRET)
    server.nack(only(server.poll()))
    assert not server.session.settled(SECRET)


def test_a_refusal_of_what_is_not_needed_settles_too() -> None:
    server = Server()
    server.put(LISTENER, a="1", b="bad")
    server.nack(only(server.ask(LISTENER)), "b is bad")
    response = only(server.poll(after=BACKOFF))
    assert not server.session.settled(LISTENER, lambda name: name == "a")
    server.nack(only(server.ack(response)), "b is bad")
    assert server.session.settled(LISTENER, lambda name: name == "a")
    assert not server.session.settled(LISTENER, lambda name: name == "b")
    assert not server.session.settled(LISTENER)


def test_a_type_is_not_settled_while_the_client_has_yet_to_ask_for_a_part_of_it() -> None:
    server = Server()
    server.put(SECRET, identity="1", ca="1")
    server.ack(only(server.ask(SECRET, "identity")))
    assert not server.session.settled(SECRET)
    second = only(server.ask(SECRET, "ca"))
    assert not server.session.settled(SECRET)
    server.ack(second)
    assert server.session.settled(SECRET)


def test_a_client_is_satisfied_when_it_has_what_it_asked_for_or_refused_it() -> None:
    server = Server()
    server.put(LISTENER, a="1")
    server.put(SECRET, nobodys="1")
    assert server.session.satisfied
    server.ack(only(server.ask(LISTENER)))
    assert server.session.satisfied
    server.put(LISTENER, a="2")
    assert not server.session.satisfied
    response = only(server.poll())
    assert not server.session.satisfied
    server.nack(response)
    assert server.session.satisfied
    missing = only(server.ask(SECRET, "identity"))
    server.ack(missing)
    assert not server.session.satisfied
    server.put(SECRET, identity="1")
    server.ack(only(server.poll()))
    assert server.session.satisfied
