"""Which name table Envoy has, whatever it answers and whenever streams end."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from envoy.config.listener.v3 import listener_pb2
from envoy.service.discovery.v3 import discovery_pb2
from hypothesis import given
from hypothesis import strategies as st

from kumadp.relay.name_table import LISTENER_NAMES, Change, NameTable
from kumadp.relay.observe import Observer
from kumamesh.xds import CLUSTER, LISTENER

KUMA, UNIFIED = LISTENER_NAMES
PARTLY = "Error adding/updating listener(s) other: cannot bind '192.0.2.1:80'"
OURS = f"Error adding/updating listener(s) other: no {KUMA}: Proto constraint validation failed"
ALL = "duplicate name other found among added/updated resources"


def listener(text: str, name: str = KUMA) -> bytes:
    return listener_pb2.Listener(name=name, stat_prefix=text).SerializeToString()


class Stream:
    """One stream of Envoy as the observer sees it."""

    def __init__(
        self, table: NameTable, *, delta: bool = True, versions: dict[str, str] | None = None
    ) -> None:
        self.observer = Observer(delta=delta, names=table)
        self.delta = delta
        first = self._request()
        if delta:
            first.initial_resource_versions.update(versions or {})
        self.observer.request(first.SerializeToString())

    def push(
        self,
        nonce: str,
        resources: dict[str, bytes],
        *,
        removed: Iterable[str] = (),
        type_url: str = LISTENER,
        version: str = "",
    ) -> None:
        if self.delta:
            message = discovery_pb2.DeltaDiscoveryResponse(
                type_url=type_url, nonce=nonce, removed_resources=removed
            )
            for name, value in resources.items():
                added = message.resources.add(name=name, version=version or nonce)
                added.resource.value = value
        else:
            message = discovery_pb2.DiscoveryResponse(type_url=type_url, nonce=nonce)
            for value in resources.values():
                message.resources.add(value=value)
        self.observer.response(message.SerializeToString())

    def answer(self, nonce: str, error: str | None = None, type_url: str = LISTENER) -> None:
        message = self._request(type_url)
        message.response_nonce = nonce
        if error is not None:
            message.error_detail.code = 13
            message.error_detail.message = error
        self.observer.request(message.SerializeToString())

    def _request(self, type_url: str = LISTENER) -> discovery_pb2.DeltaDiscoveryRequest:
        kind = discovery_pb2.DeltaDiscoveryRequest if self.delta else discovery_pb2.DiscoveryRequest
        return kind(type_url=type_url)


BOTH = pytest.mark.parametrize("delta", [True, False], ids=["delta", "sotw"])


@BOTH
@pytest.mark.parametrize("name", LISTENER_NAMES)
def test_a_table_counts_when_envoy_has_taken_it(delta: bool, name: str) -> None:
    table = NameTable()
    stream = Stream(table, delta=delta)
    stream.push("1", {"other": listener("", "other"), name: listener("a", name)})
    assert table.take() is None
    stream.answer("0")
    assert table.take() is None
    stream.answer("1")
    change = table.take()
    assert change
    assert change.listener == listener("a", name)
    assert table.take() is None


@BOTH
def test_a_first_push_without_the_listener_is_an_empty_table(delta: bool) -> None:
    table = NameTable()
    stream = Stream(table, delta=delta)
    stream.push("c", {}, type_url=CLUSTER)
    stream.answer("c", type_url=CLUSTER)
    assert table.take() is None
    stream.push("1", {"other": listener("", "other")})
    stream.answer("1")
    assert table.take() == Change(None)


def test_a_delta_push_of_other_listeners_changes_nothing() -> None:
    table = NameTable()
    stream = Stream(table)
    stream.push("1", {KUMA: listener("a")})
    stream.answer("1")
    table.take()
    stream.push("2", {"other": listener("", "other")}, removed=["more"])
    stream.answer("2")
    assert table.take() is None


@BOTH
def test_a_listener_that_goes_takes_the_names_with_it(delta: bool) -> None:
    table = NameTable()
    stream = Stream(table, delta=delta)
    stream.push("1", {KUMA: listener("a")})
    stream.answer("1")
    table.take()
    stream.push("2", {"other": listener("", "other")}, removed=[KUMA])
    stream.answer("2")
    assert table.take() == Change(None)


@BOTH
@pytest.mark.parametrize(
    ("refusal", "taken"), [(PARTLY, True), (OURS, False), (ALL, False), ("", False), ("out of memory", False)]
)
def test_of_a_refused_push_counts_what_envoy_took_of_it(delta: bool, refusal: str, taken: bool) -> None:
    table = NameTable()
    stream = Stream(table, delta=delta)
    stream.push("1", {KUMA: listener("a")})
    stream.answer("1", refusal)
    assert (table.take() is not None) is taken


def test_an_answer_that_was_lost_shows_in_what_envoy_says_it_has() -> None:
    table = NameTable()
    Stream(table).push("1", {KUMA: listener("a")}, version="v1")
    Stream(table, versions={KUMA: "v1", "other": "x"})
    assert table.take() == Change(listener("a"), "v1")
    Stream(table, versions={KUMA: "v1"}).push("2", {}, removed=[KUMA])
    Stream(table, versions={"other": "x"})
    assert table.take() == Change(None)


def test_what_envoy_did_not_get_is_forgotten_with_the_stream() -> None:
    table = NameTable()
    Stream(table).push("1", {KUMA: listener("a")}, version="v1")
    stream = Stream(table, versions={})
    stream.answer("1")
    assert table.take() is None
    Stream(table, delta=False).push("1", {KUMA: listener("a")})
    Stream(table, delta=False)
    assert table.take() is None


def test_an_answer_counts_for_the_push_of_its_own_stream() -> None:
    table = NameTable()
    first = Stream(table)
    first.push("1", {KUMA: listener("a")})
    first.answer("1")
    table.take()
    first.push("2", {}, removed=[KUMA])
    second = Stream(table, versions={KUMA: "1"})
    second.push("2", {"other": listener("", "other")})
    second.answer("2")
    assert table.take() is None


def test_in_sotw_nothing_is_concluded_from_a_new_stream() -> None:
    table = NameTable()
    Stream(table, delta=False).push("1", {"other": listener("", "other")})
    Stream(table, delta=False)
    assert table.take() is None


def test_pushes_that_are_never_answered_take_no_memory() -> None:
    table = NameTable()
    stream = Stream(table)
    for number in range(1_000):
        stream.push(str(number), {KUMA: listener(str(number))})
    stream.answer("0")
    assert table.take() is None
    stream.answer("999")
    assert table.take() == Change(listener("999"), "999")


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.sampled_from(["", "a", "b", "c"])),
        st.tuples(st.just("answer"), st.sampled_from(["ack", "partly", "refuse"])),
        st.tuples(st.just("cut"), st.integers(0, 3)),
    ),
    max_size=30,
)


@given(STEPS)
def test_whatever_happens_the_table_is_the_one_that_envoy_has(steps: list[tuple[str, str | int]]) -> None:
    """A control plane of delta xDS and an Envoy that answers every push, or loses its stream before or after
    it took some of them; its versions tell what it had taken."""
    table = NameTable()
    stream = Stream(table)
    has, named = "", ""
    queue: list[tuple[str, str]] = []
    number = 0

    def note() -> None:
        nonlocal named
        change = table.take()
        if change:
            named = change.version

    for step, value in steps:
        if step == "push":
            number += 1
            queue.append((str(number), str(value)))
            resources = {KUMA: listener(str(value))} if value else {}
            stream.push(str(number), resources, removed=[] if value else [KUMA], version=str(value))
        elif step == "answer" and queue:
            nonce, pushed = queue.pop(0)
            refusal = {"ack": None, "partly": PARTLY, "refuse": ALL}[str(value)]
            if value != "refuse":
                has = pushed
            stream.answer(nonce, refusal)
            note()
            assert named == has
        elif step == "cut":
            for _, pushed in queue[: int(value)]:
                has = pushed
            queue.clear()
            stream = Stream(table, versions={KUMA: has} if has else {})
            note()
            assert named == has
