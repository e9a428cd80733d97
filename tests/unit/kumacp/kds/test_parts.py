"""Responses in parts: never larger than allowed, and whole again at the other end."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.kds.protocol.messages import Received
from kumacp.kds.protocol.parts import MAX_PARTS, Assembly, TooManyParts, size_of, split
from kumamesh.delta import DeltaResponse
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

LIMIT = 2_000


def resource(name: str, size: int) -> XdsResource:
    return XdsResource("Mesh", name, "v", b"x" * size)


def response(*sizes: int, removed: tuple[str, ...] = ()) -> DeltaResponse:
    resources = tuple(resource(f"r{number}.", size) for number, size in enumerate(sizes))
    return DeltaResponse("Mesh", "7", resources, removed)


def received(nonce: str, *names: str, type_: str = "Mesh", **more: Any) -> Received:
    resources = tuple(Resource(ResourceKey(type_, "", name), None) for name in names)
    return Received(type_, nonce, resources, **more)


def test_what_fits_is_one_message_as_it_was() -> None:
    whole = response(10, 20, removed=("gone.",))
    assert split(whole, LIMIT) == [whole]
    assert split(response(), LIMIT) == [response()]


@given(sizes=st.lists(st.integers(0, 1_500), max_size=30), removed=st.integers(0, 50))
def test_no_part_is_too_large_and_nothing_is_lost(sizes: list[int], removed: int) -> None:
    whole = response(*sizes, removed=tuple(f"gone-{number}." for number in range(removed)))
    parts = split(whole, LIMIT)
    assert [item for part in parts for item in part.resources] == list(whole.resources)
    assert [name for part in parts for name in part.removed] == list(whole.removed)
    assert parts[-1].nonce == "7"
    assert [part.nonce for part in parts[:-1]] == [f"7/{number + 1}" for number in range(len(parts) - 1)]
    for part in parts:
        if len(part.resources) > 1:
            assert sum(map(size_of, part.resources)) <= LIMIT


@given(names=st.lists(st.text("ab", min_size=1, max_size=3), min_size=1, max_size=8))
def test_parts_become_whole_again(names: list[str]) -> None:
    assembly = Assembly()
    for number, name in enumerate(names[:-1]):
        assert assembly.add(received(f"7/{number + 1}", name)) is None
    whole = assembly.add(received("7", names[-1]))
    assert whole is not None
    assert [item.name for item in whole.resources] == names
    assert whole.nonce == "7"
    # And the next response begins with nothing left over.
    assert assembly.add(received("8", "x")) == received("8", "x")


def test_everything_about_a_part_is_kept() -> None:
    gone, unread = ResourceKey("Mesh", "", "gone"), ResourceKey("Mesh", "", "unread")
    assembly = Assembly()
    first = received("7/1", removed=(gone,), invalid=("a line",), unread=frozenset({unread}))
    assert assembly.add(first) is None
    assert assembly.add(received("7", "x")) == received(
        "7", "x", removed=(gone,), invalid=("a line",), unread=frozenset({unread})
    )


def test_types_may_alternate() -> None:
    assembly = Assembly()
    assembly.add(received("7/1", "a"))
    assert assembly.add(received("8", "z", type_="Secret")) == received("8", "z", type_="Secret")
    whole = assembly.add(received("7", "b"))
    assert whole is not None
    assert len(whole.resources) == 2


@pytest.mark.parametrize(
    "nonces", [["7/2"], ["7/1", "7/3"], ["7/1", "8"], ["7/1", "8/2"], ["7/x"], ["7/1", "7/1"]]
)
def test_parts_that_do_not_fit_together_are_refused(nonces: list[str]) -> None:
    assembly = Assembly()
    for nonce in nonces[:-1]:
        assembly.add(received(nonce, "a"))
    with pytest.raises(TooManyParts):
        assembly.add(received(nonces[-1], "a"))


def test_there_is_a_bound_for_all_types_together() -> None:
    assembly = Assembly()
    for number in range(MAX_PARTS):
        assert assembly.add(received("7/1", "a", type_=f"Type{number}")) is None
    with pytest.raises(TooManyParts):
        assembly.add(received("7/1", "a", type_="OneMore"))
