"""When global believes that a zone has nothing of a type."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kumacp.kds.at_global.global_intake import GlobalIntake
from kumacp.kds.protocol.catalog import from_zone
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import HASH_SUFFIX, Received
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest

STORED = replace(
    from_rest(
        {
            "type": "Dataplane",
            "mesh": "default",
            "name": synced_name("default", "web-1", {"kuma.io/zone": "zone-1"}),
            "networking": {
                "address": "10.0.0.1",
                "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}],
            },
        }
    ),
    labels={"kuma.io/zone": "zone-1", "kuma.io/origin": "zone", "kuma.io/display-name": "web-1"},
)


def told(name: str) -> Resource:
    """Like the one that is stored, under another name."""
    key = STORED.key._replace(name=synced_name("default", name, STORED.labels))
    return replace(STORED, key=key, labels={**STORED.labels, "kuma.io/display-name": name})


class Notes:
    def __init__(self, *, store_known: bool) -> None:
        self.withheld: list[str] = []
        self.complete = 0
        self.intake = GlobalIntake(
            "zone-1",
            frozenset({HASH_SUFFIX}),
            store_known=store_known,
            on_withheld=self.withheld.append,
            on_complete=self._note,
        )

    def _note(self) -> None:
        self.complete += 1

    async def lists(
        self, type_: str, *resources: Resource, stored: tuple[Resource, ...] = (), **more: Any
    ) -> Any:
        received = Received(type_, "1", resources, **more)
        writes = self.intake.decide(received, stored, full=True)
        await self.intake.applied(received, writes, full=True)
        return writes


async def test_an_empty_list_of_an_unknown_store_waits() -> None:
    notes = Notes(store_known=False)
    for type_ in from_zone():
        stored = (STORED,) if type_ == "Dataplane" else ()
        writes = await notes.lists(type_, stored=stored)
        assert (writes.deletes, writes.withheld) == ((), tuple(item.key for item in stored))
    assert (notes.withheld, notes.complete) == (["Dataplane"], 0)
    notes.intake.released("Dataplane")
    assert notes.complete == 1


async def test_an_empty_list_of_a_known_store_counts() -> None:
    notes = Notes(store_known=True)
    assert (await notes.lists("Dataplane", stored=(STORED,))).deletes == (STORED.key,)
    assert notes.withheld == []


@pytest.mark.parametrize("unread", [False, True])
async def test_a_list_with_something_in_it_counts(unread: bool) -> None:
    notes = Notes(store_known=False)
    new = replace(STORED, key=STORED.key._replace(name="web-2-xyz"))
    told: tuple[Resource, ...] = () if unread else (new,)
    more = {"unread": frozenset({ResourceKey("Dataplane", "default", "bad")})} if unread else {}
    assert (await notes.lists("Dataplane", *told, stored=(STORED,), **more)).deletes == (STORED.key,)


async def test_a_zone_is_complete_when_every_type_has_come() -> None:
    notes = Notes(store_known=False)
    for type_ in from_zone()[:-1]:
        await notes.lists(type_)
    assert notes.complete == 0
    received = Received(from_zone()[-1], "9")
    await notes.intake.applied(received, notes.intake.decide(received, (), full=False), full=False)
    assert notes.complete == 0
    await notes.lists(from_zone()[-1])
    assert notes.complete == 1


async def test_a_zone_has_room_for_so_many_of_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kumacp.kds.at_global.global_intake.MAX_OF_A_TYPE", 2)
    notes = Notes(store_known=True)
    one, two, three = map(told, ("web-1", "web-2", "web-3"))
    writes = await notes.lists("Dataplane", one, two, three, stored=(replace(one, version=1),))
    assert [item.key for item in writes.puts] == [two.key]
    assert writes.refused == ("1 more of Dataplane have no room: a zone may have 2",)

    async def change(told: Resource | None, *removed: ResourceKey, stored: tuple[Resource, ...] = ()) -> Any:
        received = Received("Dataplane", "2", (told,) if told else (), removed)
        writes = notes.intake.decide(received, stored, full=False)
        await notes.intake.applied(received, writes, full=False)
        return writes

    assert (await change(three)).puts == ()
    assert len((await change(three, two.key, stored=(replace(two, version=1),))).puts) == 1
    renewed = replace(three, labels={**three.labels, "a": "b"})
    assert len((await change(renewed, stored=(replace(three, version=1),))).puts) == 1
    assert (await change(two)).puts == ()
