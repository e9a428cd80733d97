"""When sidecars must wait for an egress: it leads somewhere where it did not lead before."""

from __future__ import annotations

import hub_world as world
from edge_world import ZONE, EdgeWorld
from kumamesh.resource import Resource


def _mesh(*, through: bool = True) -> Resource:
    return world.mesh(mode="STRICT", routing={"zoneEgress": through})


def _made() -> EdgeWorld:
    made = EdgeWorld(_mesh(), world.ca(), world.zone_ingress("west", world.available("backend")))
    made.connect("e1")
    made.hub.take_opened()
    return made


def test_a_new_service_opens_a_way_and_is_told_once() -> None:
    made = _made()
    made.put(world.zone_ingress("west", world.available("backend"), world.available("orders")))
    assert made.hub.take_opened()
    assert not made.hub.take_opened()


def test_other_tags_open_a_way() -> None:
    made = _made()
    made.put(world.zone_ingress("west", world.available("backend", version="v1")))
    assert made.hub.take_opened()


def test_more_instances_and_services_that_go_open_none() -> None:
    made = _made()
    made.put(world.zone_ingress("west", world.available("backend", 2)))
    made.put(world.zone_ingress("west"))
    assert not made.hub.take_opened()


def test_a_mesh_that_begins_to_leave_through_egresses_opens_ways_and_one_that_ceases_none() -> None:
    made = _made()
    made.put(_mesh(through=False))
    assert not made.hub.take_opened()
    made.put(_mesh())
    assert made.hub.take_opened()


def test_an_egress_that_listens_elsewhere_opens_ways() -> None:
    made = _made()
    made.put(world.zone_egress("e1", port=10003, zone=ZONE))
    assert made.hub.take_opened()


def test_without_egresses_nothing_is_opened() -> None:
    made = EdgeWorld(_mesh(), world.ca())
    made.connect("i1")
    made.put(world.zone_ingress("west", world.available("backend")))
    assert not made.hub.take_opened()
