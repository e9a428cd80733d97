"""What is written when a response of the other side has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kumacp.kds.exchange.incoming import Writes, from_global, from_zone
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import Received
from kumamesh.names import DISPLAY_NAME_LABEL, ORIGIN_LABEL, ZONE_LABEL, ZONE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Gateway, Inbound, Networking
from kumamesh.resources.registry import TYPES
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.resources.zone import AvailableService, ZoneEgress, ZoneIngress

GLOBAL = {ORIGIN_LABEL: "global"}
EAST = {ORIGIN_LABEL: "zone", ZONE_LABEL: "east"}
THEN = datetime(2026, 1, 1, tzinfo=UTC)


def a(type_: str, name: str, labels: Mapping[str, str] | None = None, spec: Any = None) -> Resource:
    mesh = "default" if TYPES[type_].mesh_scoped else ""
    return Resource(ResourceKey(type_, mesh, name), spec or TYPES[type_].spec(), labels or {})


def told_of_east(
    type_: str, name: str, labels: Mapping[str, str] | None = None, spec: Any = None
) -> Resource:
    """As a zone tells of it: under a name with its suffix."""
    new = a(type_, name, {**(labels or {}), DISPLAY_NAME_LABEL: name}, spec)
    return replace(new, key=new.key._replace(name=synced_name(new.mesh, name, EAST)))


def stored(type_: str, name: str, labels: Mapping[str, str] | None = None, spec: Any = None) -> Resource:
    return replace(a(type_, name, labels, spec), version=4, creation_time=THEN, modification_time=THEN)


def down(type_: str, told: list[Resource], held: list[Resource], *, full: bool = True, **more: Any) -> Writes:
    return from_global(Received(type_, "1", tuple(told), **more), held, full=full, zone="east")


def up(
    type_: str,
    told: list[Resource],
    held: list[Resource],
    *,
    full: bool = True,
    trusted: bool = True,
    hashed: bool = True,
    **more: Any,
) -> Writes:
    received = Received(type_, "1", tuple(told), **more)
    return from_zone(received, held, full=full, zone="east", hashed=hashed, trusted=trusted)


def test_what_is_new_is_created_and_what_differs_replaced() -> None:
    old = stored("TrafficPermission", "b", {**GLOBAL, "team": "x"})
    same = stored("TrafficPermission", "c", GLOBAL)
    told = [a("TrafficPermission", name, GLOBAL) for name in "abc"]
    assert down("TrafficPermission", told, [old, same]) == Writes(
        puts=(told[0], replace(told[1], version=4, creation_time=THEN, modification_time=THEN))
    )


def test_what_comes_from_global_is_marked_so() -> None:
    (put,) = down("Mesh", [a("Mesh", "m", {ORIGIN_LABEL: "zone"})], []).puts
    assert put.labels == GLOBAL


def test_the_first_list_deletes_what_global_does_not_have() -> None:
    gone, own = stored("MeshTrafficPermission", "gone", GLOBAL), stored("MeshTrafficPermission", "own")
    assert down("MeshTrafficPermission", [], [gone, own]).deletes == (gone.key,)
    own = stored("MeshTrafficPermission", "own", EAST)
    assert down("MeshTrafficPermission", [], [gone, own]).deletes == (gone.key,)


@pytest.mark.parametrize("type_", ["Mesh", "TrafficPermission", "ExternalService"])
def test_types_that_only_global_makes_are_taken_from_the_zone(type_: str) -> None:
    own = stored(type_, "own")
    assert down(type_, [], [own]).deletes == (own.key,)
    assert down(type_, [a(type_, "own", {"team": "x"})], [own]).puts[0].labels == {**GLOBAL, "team": "x"}


def test_changes_delete_what_they_name_and_nothing_else() -> None:
    one, other, own = (
        stored("ZoneIngress", "1", GLOBAL),
        stored("ZoneIngress", "2", GLOBAL),
        stored("ZoneIngress", "3"),
    )
    writes = down("ZoneIngress", [], [one, other, own], full=False, removed=(one.key, own.key))
    assert writes == Writes(deletes=(one.key,))
    assert down("ZoneIngress", [], [], full=False, removed=(one.key,)) == Writes()


def test_what_could_not_be_read_stays_as_it_is() -> None:
    kept, gone = stored("Mesh", "kept", GLOBAL), stored("Mesh", "gone", GLOBAL)
    assert down("Mesh", [], [kept, gone], unread=frozenset({kept.key})).deletes == (gone.key,)
    ours = stored("Dataplane", "east.kept", EAST)
    unread = frozenset({ours.key._replace(name="kept")})
    assert up("Dataplane", [], [ours], hashed=False, unread=unread) == Writes()


def test_secrets_that_the_zone_made_are_not_overwritten() -> None:
    own = stored("Secret", "key", spec=Secret(data=b"own"))
    writes = down("Secret", [a("Secret", "key", spec=Secret(data=b"other")), a("Secret", "b")], [own])
    assert [put.name for put in writes.puts] == ["b"]
    assert writes.deletes == ()
    (line,) = writes.refused
    assert line.startswith('Secret "key.default" exists in the zone')
    assert "other" not in line


def test_secrets_that_global_has_too_become_those_of_global() -> None:
    own = stored("Secret", "key", spec=Secret(data=b"same"))
    writes = down("Secret", [a("Secret", "key", spec=Secret(data=b"same"))], [own])
    assert [(put.labels, put.version) for put in writes.puts] == [(GLOBAL, 4)]
    assert writes.refused == ()


def test_secrets_of_one_control_plane_are_not_taken_from_another() -> None:
    told = a("GlobalSecret", "envoy-admin-ca", spec=GlobalSecret(data=b"x"))
    writes = down("GlobalSecret", [told], [])
    assert (writes.puts, len(writes.refused)) == ((), 1)


def test_what_is_said_to_be_of_the_zone_itself_is_passed_over() -> None:
    echo = a("ZoneIngress", "i-hash", {ZONE_LABEL: "east"})
    assert down("ZoneIngress", [echo], []) == Writes()
    old = stored("ZoneIngress", "i-hash", {**GLOBAL, ZONE_LABEL: "east"})
    assert down("ZoneIngress", [echo], [old]).deletes == (old.key,)


def test_the_last_of_two_with_one_name_counts() -> None:
    told = [a("Mesh", "m", {"team": "x"}), a("Mesh", "m", {"team": "y"})]
    assert [put.labels["team"] for put in down("Mesh", told, []).puts] == ["y"]
    same = stored("Mesh", "m", {**GLOBAL, "team": "y"})
    assert down("Mesh", told, [same]) == Writes()


def test_global_notes_where_a_resource_is_from() -> None:
    for claimed in ({}, {ZONE_LABEL: "west", ORIGIN_LABEL: "global"}):
        (put,) = up("ZoneEgress", [told_of_east("ZoneEgress", "e", {"team": "x", **claimed})], []).puts
        assert put.labels == {"team": "x", DISPLAY_NAME_LABEL: "e", **EAST}
    assert put.spec == ZoneEgress(zone="east")


def test_names_without_suffix_get_the_zone_before_them() -> None:
    gone = stored("ZoneEgress", "east.gone", EAST)
    writes = up(
        "ZoneEgress",
        [a("ZoneEgress", "e")],
        [gone],
        full=False,
        hashed=False,
        removed=(gone.key._replace(name="gone"),),
    )
    assert [put.name for put in writes.puts] == ["east.e"]
    assert writes.deletes == (gone.key,)
    (line,) = up("ZoneEgress", [a("ZoneEgress", "e" * 250)], [], hashed=False).refused
    assert "less or equal 253" in line


def test_a_zone_is_never_another_one() -> None:
    tags, other = {ZONE_TAG: "west", "a": "b"}, {"a": "b"}
    ingress = ZoneIngress(
        zone="west", available_services=(AvailableService(tags=tags), AvailableService(tags=other))
    )
    (put,) = up("ZoneIngress", [told_of_east("ZoneIngress", "i", spec=ingress)], []).puts
    assert put.spec.zone == "east"
    assert [service.tags for service in put.spec.available_services] == [{**tags, ZONE_TAG: "east"}, other]
    networking = Networking(inbound=(Inbound(tags=tags), Inbound(tags=other)), gateway=Gateway(tags=tags))
    dataplane = told_of_east("Dataplane", "d", spec=Dataplane(networking=networking))
    (put,) = up("Dataplane", [dataplane], []).puts
    found = put.spec.networking
    assert [inbound.tags.get(ZONE_TAG) for inbound in found.inbound] == ["east", None]
    assert found.gateway.tags[ZONE_TAG] == "east"
    hash(put.spec)


@pytest.mark.parametrize(
    ("labels", "owner"),
    [({ORIGIN_LABEL: "zone", ZONE_LABEL: "west"}, "zone 'west'"), (GLOBAL, "global"), ({}, "global")],
)
def test_a_zone_touches_nothing_of_others(labels: dict[str, str], owner: str) -> None:
    other = stored("MeshTrafficPermission", "p", labels)
    writes = up("MeshTrafficPermission", [a("MeshTrafficPermission", "p", {"team": "x"})], [other])
    assert (writes.puts, writes.deletes, len(writes.refused)) == ((), (), 1)
    assert f"has the name of one that {owner} made" in writes.refused[0]
    assert up("MeshTrafficPermission", [], [other]) == Writes()
    assert up("MeshTrafficPermission", [], [other], full=False, removed=(other.key,)) == Writes()


def test_a_zone_takes_no_name_that_another_could_need() -> None:
    """Names have a suffix with the zone in it, so whoever has none of its own would be in another's place."""
    theirs = synced_name("", "ing", {ZONE_LABEL: "west"})
    told = a("ZoneIngress", theirs, {DISPLAY_NAME_LABEL: "ing", ZONE_LABEL: "west"})
    nameless = a("ZoneIngress", theirs)
    for each in (told, nameless):
        writes = up("ZoneIngress", [each], [])
        assert writes.puts == ()
        assert writes.refused == (
            f"ZoneIngress \"{theirs}.\" has not the suffix that names of zone 'east' have",
        )


def test_what_is_told_and_taken_back_at_once_is_there() -> None:
    old = stored("TrafficPermission", "b", GLOBAL)
    new = a("TrafficPermission", "b", {**GLOBAL, "team": "x"})
    for full in (True, False):
        writes = down("TrafficPermission", [new], [old], full=full, removed=(old.key,))
        assert [put.key for put in writes.puts] == [old.key]
        assert writes.deletes == ()


def test_an_untrusted_list_of_a_zone_deletes_nothing() -> None:
    ours = stored("Dataplane", "d", EAST)
    assert up("Dataplane", [], [ours], trusted=False) == Writes(withheld=(ours.key,))
    assert up("Dataplane", [], [ours]) == Writes(deletes=(ours.key,))
