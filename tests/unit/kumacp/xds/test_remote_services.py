"""What ingresses of other zones say, current change by change."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import hub_world as world
from kumacp.xds.remote import Ingresses, RemoteInstances, RemoteServices, is_remote
from kumamesh.resources.zone import ZoneIngress

TAGS = (("kuma.io/protocol", "http"), ("kuma.io/zone", "west"))


def ingress(*offered: Any, **more: Any) -> ZoneIngress:
    spec: ZoneIngress = world.zone_ingress("i1", *offered, **more).spec
    return spec


def instances(number: int, address: str = "192.0.2.9") -> RemoteInstances:
    return RemoteInstances("west", address, 10001, TAGS, number)


@pytest.mark.parametrize(("zone", "remote"), [("", False), ("east", False), ("west", True)])
def test_an_ingress_of_no_zone_is_of_this_one(zone: str, remote: bool) -> None:
    assert is_remote(ingress(zone=zone), "east") is remote


def offered_by(spec: ZoneIngress) -> dict[tuple[str, str], tuple[RemoteInstances, ...]]:
    return Ingresses("east").note("i1", spec)


def test_services_come_by_mesh_and_without_their_tag() -> None:
    offered = offered_by(ingress(world.available("a", 2), world.available("a", mesh="m2")))
    assert offered == {("default", "a"): (instances(2),), ("m2", "a"): (instances(1),)}
    assert offered["default", "a"][0].protocol == "http"


def test_a_service_of_no_mesh_is_of_the_default_one() -> None:
    assert set(offered_by(ingress(world.available("a", mesh="")))) == {("default", "a")}


@pytest.mark.parametrize("at", [("", 0), ("", 10001), ("192.0.2.9", 0)])
def test_an_ingress_that_does_not_say_where_it_is_offers_nothing(at: tuple[str, int]) -> None:
    assert offered_by(ingress(world.available("a"), at=at)) == {}


def test_an_ingress_of_this_zone_offers_nothing() -> None:
    assert offered_by(ingress(world.available("a"), zone="east")) == {}


@pytest.mark.parametrize("entry", [{"tags": {}, "instances": 1}, world.available("a", 0)])
def test_entries_without_a_service_or_instances_offer_nothing(entry: dict[str, Any]) -> None:
    assert offered_by(ingress(entry)) == {}


def test_only_services_of_which_an_entry_is_other_are_told() -> None:
    known = Ingresses("east")
    a, b = world.available("a", 2), world.available("b", version="v1")
    known.note("i1", ingress(a, b))
    assert known.note("i1", ingress(b, a)) == {}
    both = known.note("i1", ingress(a, b, world.available("b", 3)))
    assert {service: sorted(one.instances for one in many) for service, many in both.items()} == {
        ("default", "b"): [1, 3]
    }
    assert known.note("i1", ingress(a)) == {("default", "b"): ()}
    moved = known.note("i1", ingress(a, at=("192.0.2.8", 10001)))
    assert moved == {("default", "a"): (instances(2, "192.0.2.8"),)}
    assert known.note("i1", None) == {("default", "a"): ()}
    assert known.note("i1", None) == {}


def test_what_was_said_of_a_mesh_is_still_known_later() -> None:
    known = Ingresses("east")
    known.note("i1", ingress(world.available("a", 2), world.available("b", mesh="m2")))
    known.note("i2", ingress(world.available("a", 1)))
    assert list(known.of_mesh("default")) == [("i1", "a", (instances(2),)), ("i2", "a", (instances(1),))]


OFFERED = st.lists(
    st.builds(
        world.available,
        st.sampled_from("ab"),
        st.integers(0, 2),
        mesh=st.sampled_from(["", "m2"]),
        v=st.sampled_from("12"),
    ),
    max_size=5,
)
HISTORY = st.lists(
    st.one_of(
        st.none(),
        st.builds(
            lambda offered, zone, port: ingress(*offered, zone=zone, at=("192.0.2.9", port)),
            OFFERED,
            zone=st.sampled_from(["west", "west", "east"]),
            port=st.sampled_from([10001, 10001, 10002, 0]),
        ),
    ),
    max_size=6,
)


@given(HISTORY)
def test_what_is_told_adds_up_to_what_is_said(history: list[ZoneIngress | None]) -> None:
    known = Ingresses("east")
    heard: dict[tuple[str, str], set[RemoteInstances]] = {}
    for said in history:
        changes = known.note("i1", said)
        heard |= {service: set(many) for service, many in changes.items()}
        fresh = Ingresses("east").note("i1", said)
        assert {service: many for service, many in heard.items() if many} == {
            service: set(many) for service, many in fresh.items()
        }


def test_ingresses_at_one_address_are_one_with_the_most_that_one_of_them_says() -> None:
    services = RemoteServices()
    services.note("i1", "a", (instances(3), instances(1)))
    services.note("i2", "a", (instances(2), instances(1, "192.0.2.8")))
    assert services.of("a") == (instances(1, "192.0.2.8"), instances(3))
    services.note("i1", "a", ())
    assert services.of("a") == (instances(1, "192.0.2.8"), instances(2))


def test_only_services_of_which_there_is_something_else_are_told_to_the_mesh() -> None:
    services = RemoteServices()
    services.note("i1", "a", (instances(3),))
    services.note("i1", "b", (instances(1),))
    assert services.commit() == {"a", "b"}
    services.note("i2", "a", (instances(1),))
    services.note("i1", "b", (instances(2),))
    assert (set(services.noted), services.commit()) == ({"a", "b"}, {"b"})
    services.note("i1", "a", ())
    services.note("i1", "a", (instances(3),))
    assert services.commit() == set()


def test_nothing_is_left_when_all_are_gone() -> None:
    services = RemoteServices()
    services.note("i1", "a", (instances(3),))
    services.note("i1", "a", ())
    services.note("i2", "b", ())
    assert (services.services, bool(services), services.commit()) == ({}, False, set())
