"""What a client makes a session remember is counted: the server ends the stream of one that overdoes it."""

from __future__ import annotations

from kumamesh.delta import DeltaRequest, DeltaSession, Dialect
from kumamesh.xds import CLUSTER, XdsResource


def session() -> DeltaSession:
    source = {CLUSTER: {"a": XdsResource(CLUSTER, "a", "1", b"")}}
    return DeltaSession(source, Dialect.ENVOY, nack_backoff_s=5.0)


def test_names_that_are_asked_for_and_given_up_while_nothing_can_be_sent_count() -> None:
    opened = session()
    opened.on_request(DeltaRequest(CLUSTER), 0.0)
    assert opened.poll(0.0)  # in flight, and never acknowledged
    for batch in range(10):
        names = tuple(f"{batch}-{number}" for number in range(100))
        opened.on_request(DeltaRequest(CLUSTER, subscribe=names), 1.0)
        opened.on_request(DeltaRequest(CLUSTER, unsubscribe=names), 1.0)
    assert opened.size >= 1_000


def test_what_was_answered_counts_no_more() -> None:
    opened = session()
    opened.on_request(DeltaRequest(CLUSTER, subscribe=("a", "b")), 0.0)
    (response,) = opened.poll(0.0)
    assert opened.size == 3  # two names, one resource
    opened.on_request(DeltaRequest(CLUSTER, unsubscribe=("a", "b"), nonce=response.nonce), 1.0)
    assert opened.size == 0
