"""What the observer makes of the messages on a stream."""

from __future__ import annotations

import pytest
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st

from kumadp.relay.observe import (
    ADS,
    DELTA,
    STATE_OF_THE_WORLD,
    Accepted,
    Observer,
    Progress,
    Rejected,
    observer_for,
    short_type,
)
from kumamesh.xds import CLUSTER, LISTENER, SECRET

REQUESTS = {True: discovery_pb2.DeltaDiscoveryRequest, False: discovery_pb2.DiscoveryRequest}
RESPONSES = {True: discovery_pb2.DeltaDiscoveryResponse, False: discovery_pb2.DiscoveryResponse}


def push(observer: Observer, nonce: str, type_url: str = LISTENER, resources: int = 2) -> None:
    message = RESPONSES[observer.delta](type_url=type_url, nonce=nonce)
    for _ in range(resources):
        message.resources.add()
    observer.response(message.SerializeToString())


def answer(
    observer: Observer, nonce: str, type_url: str = LISTENER, error: str = ""
) -> Accepted | Rejected | None:
    message = REQUESTS[observer.delta](type_url=type_url, response_nonce=nonce)
    if error:
        message.error_detail.code = 13
        message.error_detail.message = error
    return observer.request(message.SerializeToString())


@pytest.fixture(params=[True, False], ids=["delta", "sotw"])
def observer(request: pytest.FixtureRequest) -> Observer:
    return Observer(delta=request.param)


def test_a_push_is_accepted_once(observer: Observer) -> None:
    assert answer(observer, "") is None
    push(observer, "1")
    assert answer(observer, "1") == Accepted(LISTENER, "1")
    assert answer(observer, "1") is None
    counts = observer.types[LISTENER]
    assert (counts.requests, counts.responses, counts.resources, counts.acks) == (3, 1, 2, 1)
    assert (counts.last_nonce, counts.acked_nonce) == ("1", "1")


def test_a_refusal_carries_envoys_text_in_one_line(observer: Observer) -> None:
    push(observer, "1")
    assert answer(observer, "1", error="bad\n  listener") == Rejected(LISTENER, "1", "bad listener")
    assert observer.types[LISTENER].nacks == 1
    assert observer.types[LISTENER].acked_nonce == ""


def test_a_nonce_of_another_stream_counts_for_nothing(observer: Observer) -> None:
    assert answer(observer, "elsewhere") is None
    assert observer.types[LISTENER].acks == 0


def test_several_pushes_may_be_under_way(observer: Observer) -> None:
    for nonce in "123":
        push(observer, nonce)
    assert answer(observer, "1") == Accepted(LISTENER, "1")
    assert answer(observer, "2", error="no") == Rejected(LISTENER, "2", "no")
    assert answer(observer, "3") == Accepted(LISTENER, "3")


def test_unanswered_pushes_are_forgotten_in_the_end(observer: Observer) -> None:
    for number in range(3_000):
        push(observer, str(number), resources=0)
    assert answer(observer, "0") is None
    assert answer(observer, "2999") == Accepted(LISTENER, "2999")


@given(st.booleans(), st.lists(st.binary(max_size=200), max_size=20))
def test_any_bytes_are_survived(delta: bool, messages: list[bytes]) -> None:
    observer = Observer(delta=delta)
    for raw in messages:
        observer.request(raw)
        observer.response(raw)
    push(observer, "n", CLUSTER)
    assert answer(observer, "n", CLUSTER) == Accepted(CLUSTER, "n")


def test_configured_once_when_clusters_and_listeners_are_in() -> None:
    progress = Progress()
    noted = [progress.note(type_url) for type_url in (SECRET, LISTENER, LISTENER, CLUSTER, CLUSTER)]
    assert noted == [False, False, False, True, False]
    assert progress.configured


def test_only_ads_streams_have_an_observer() -> None:
    delta, sotw = observer_for(DELTA), observer_for(STATE_OF_THE_WORLD)
    assert delta
    assert delta.delta
    assert sotw
    assert not sotw.delta
    assert observer_for("/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck") is None
    assert observer_for(ADS + "Else") is None


def test_short_type() -> None:
    assert short_type(LISTENER) == "Listener"
    assert short_type("") == "unknown"


def test_resource_types_are_bounded() -> None:
    observer = Observer(delta=True)
    for number in range(1_000):
        push(observer, str(number), f"type/{number}")
    assert len(observer.types) == 65
    assert observer.types["other"].responses == 1_000 - 64
