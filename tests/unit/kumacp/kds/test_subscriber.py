"""The asking side of one stream."""

from __future__ import annotations

import pytest

from kumacp.kds.protocol.messages import Node, Received
from kumacp.kds.protocol.subscriber import Asked, Subscriber, UnexpectedType
from kumamesh.delta import DeltaRequest

NODE = Node("east", {"version": "2.13.0"}, "{}", "cp-1", frozenset({"hash-suffix"}))


def test_asks_for_everything_of_each_type_in_order() -> None:
    assert Subscriber(("Secret", "Mesh"), NODE).begin() == [
        Asked(DeltaRequest("Secret", subscribe=("*",)), NODE),
        Asked(DeltaRequest("Mesh", subscribe=("*",)), NODE),
    ]


@pytest.mark.parametrize("errors", [[], ["no"]])
def test_the_first_response_of_a_type_is_all_there_is_until_it_is_answered(errors: list[str]) -> None:
    subscriber = Subscriber(("Secret", "Mesh"), NODE)
    assert subscriber.receive(Received("Mesh", "1"))
    assert subscriber.receive(Received("Mesh", "1"))
    subscriber.verdict(Received("Mesh", "1"), errors)
    assert not subscriber.receive(Received("Mesh", "2"))
    assert subscriber.receive(Received("Secret", "3"))


def test_what_was_not_asked_for_is_not_taken() -> None:
    with pytest.raises(UnexpectedType, match="'Mesh' were not asked for"):
        Subscriber(("Secret",), NODE).receive(Received("Mesh", "1"))


def test_an_ack_names_the_response() -> None:
    asked = Subscriber(("Mesh",), NODE).verdict(Received("Mesh", "7"), [])
    assert asked == Asked(DeltaRequest("Mesh", nonce="7"), Node("east"))


def test_a_nack_says_why_and_asks_again() -> None:
    asked = Subscriber(("Mesh",), NODE).verdict(Received("Mesh", "7"), ["a is bad", "b is bad"])
    assert asked == Asked(
        DeltaRequest("Mesh", subscribe=("*",), nonce="7", error="a is bad; b is bad"), Node("east")
    )


def test_the_text_of_a_nack_is_bounded() -> None:
    errors = ["x" * 10_000] * 1_000
    error = Subscriber(("Mesh",), NODE).verdict(Received("Mesh", "7"), errors).request.error
    assert error is not None
    assert len(error) < 11_000
    assert error.endswith("; and 980 more")
