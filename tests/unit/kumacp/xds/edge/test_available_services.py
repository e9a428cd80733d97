"""What ingresses of the zone tell other zones."""

from __future__ import annotations

import hub_world as world
from edge_world import EdgeWorld
from kumamesh.resource import Resource

SERVICE, PROTOCOL = "kuma.io/service", "kuma.io/protocol"


def instance(name: str, service: str = "backend", *, mesh: str = "default", **tags: str) -> Resource:
    state = tags.pop("state", "Ready")
    inbounds = [world.inbound(service, state=state, tags=tags)]
    return world.dataplane(name, mesh=mesh, address=f"10.0.0.{name[-1]}", inbounds=inbounds)


def listed(edges: EdgeWorld) -> list[tuple[str, str, dict[str, str], int]]:
    """(mesh, service, further tags but the protocol, instances)."""
    return [
        (
            entry.mesh,
            entry.tags[SERVICE],
            {tag: value for tag, value in entry.tags.items() if tag not in {SERVICE, PROTOCOL}},
            entry.instances,
        )
        for entry in edges.hub.available.services
    ]


def test_healthy_instances_are_counted_by_mesh_and_all_their_tags() -> None:
    edges = EdgeWorld(
        instance("d1", version="v1"),
        instance("d2", version="v2"),
        instance("d3", version="v2"),
        instance("d4", "api"),
        instance("d5", mesh="another"),
    )
    assert listed(edges) == [
        ("another", "backend", {}, 1),
        ("default", "api", {}, 1),
        ("default", "backend", {"version": "v1"}, 1),
        ("default", "backend", {"version": "v2"}, 2),
    ]


def test_instances_that_cannot_be_called_do_not_count() -> None:
    edges = EdgeWorld(instance("d1"), instance("d2", state="NotReady"), instance("d3"))
    edges.hub.set_warming(world.key("d3"), True)
    assert listed(edges) == [("default", "backend", {}, 1)]
    edges.hub.set_warming(world.key("d3"), False)
    edges.put(instance("d2"))
    assert listed(edges) == [("default", "backend", {}, 3)]
    edges.delete(world.key("d1"), world.key("d2"), world.key("d3"))
    assert listed(edges) == []


def test_what_other_zones_offer_is_not_told_on() -> None:
    edges = EdgeWorld(instance("d1"), world.zone_ingress("w", world.available("elsewhere", 3)))
    assert listed(edges) == [("default", "backend", {}, 1)]


def test_services_outside_the_mesh_are_told_of_where_an_egress_leads_to_them() -> None:
    edges = EdgeWorld(
        world.mesh(mode="STRICT", routing={"zoneEgress": True}),
        world.external_service("x", "httpbin", protocol="http", tags={"kuma.io/zone": "east"}),
        world.external_service("y", "everywhere"),
        world.external_service("z", "elsewhere", tags={"kuma.io/zone": "west"}),
    )
    assert listed(edges) == []
    edges.put(world.zone_egress("e1"))
    (only,) = edges.hub.available.services
    assert only.external_service
    assert (only.mesh, only.instances) == ("default", 1)
    assert only.tags == {SERVICE: "httpbin", PROTOCOL: "http", "kuma.io/zone": "east"}
    edges.delete(world.zone_egress("e1").key)
    assert listed(edges) == []


def test_whoever_writes_it_down_is_woken_when_it_differs_and_by_nothing_else() -> None:
    edges = EdgeWorld(instance("d1"))
    woken = 0

    def wake() -> None:
        nonlocal woken
        woken += 1

    edges.hub.available.on_change = wake
    for change, expected in (
        (lambda: edges.put(instance("d2")), True),
        (lambda: edges.put(instance("d2")), False),
        (lambda: edges.put(world.mesh(mode="STRICT")), False),
        (lambda: edges.put(world.zone_ingress("w", world.available("elsewhere"))), False),
        (lambda: edges.put(world.zone_ingress("i1", zone="east")), True),
        (lambda: edges.put(world.zone_ingress("i1", world.available("wrong"), zone="east")), True),
        (lambda: edges.hub.set_warming(world.key("d2"), True), True),
        (lambda: edges.put(instance("d2", state="NotReady")), False),
        (lambda: edges.delete(world.key("d1")), True),
    ):
        before, services = woken, edges.hub.available.services
        change()
        assert (woken > before) is expected
        assert expected or edges.hub.available.services is services
