"""A proxy that starts is nobody's endpoint until its ports are open."""

from __future__ import annotations

import hub_world as world
from kumacp.xds.hub import Hub
from kumacp.xds.proxy import Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import ENDPOINT

WEB, B2 = world.key("web"), world.key("b2")
ASSIGNMENT: Touched = {WEB: {ENDPOINT: frozenset({"backend"})}}


def _dataplane(name: str, address: str) -> Resource:
    return world.dataplane(name, address=address, inbounds=[world.inbound("backend")])


class Site:
    """`web`, which calls `backend`, and one instance of that."""

    def __init__(self) -> None:
        self.hub = Hub("east", world.build, world.permission)
        self.writer = world.Writer()
        web = world.dataplane(
            "web", address="10.0.0.1", inbounds=[world.inbound("web")], outbounds={20000: "backend"}
        )
        for resource in (world.mesh(), web, _dataplane("b1", "10.0.1.1")):
            self.put(resource)
        self.hub.connect(WEB, world.METADATA)

    def put(self, resource: Resource) -> Touched:
        return self.hub.apply([self.writer.put(resource)])

    def delete(self, key: ResourceKey) -> Touched:
        change = self.writer.delete(key)
        assert change is not None
        return self.hub.apply([change])

    @property
    def assignment(self) -> str:
        return self.hub.desired(WEB)[ENDPOINT]["backend"].body.decode()


def test_it_is_no_endpoint_until_it_is_open() -> None:
    site = Site()
    assert site.hub.set_warming(B2, True) == {}
    assert site.put(_dataplane("b2", "10.0.1.2")) == {}
    assert "10.0.1.2" not in site.assignment
    assert site.hub.set_warming(B2, False) == ASSIGNMENT
    assert "10.0.1.2" in site.assignment
    assert site.hub.set_warming(B2, False) == {}


def test_one_that_was_an_endpoint_is_taken_out_when_it_starts_anew() -> None:
    site = Site()
    site.put(_dataplane("b2", "10.0.1.2"))
    assert site.hub.set_warming(B2, True) == ASSIGNMENT
    assert "10.0.1.2" not in site.assignment
    assert "10.0.1.1" in site.assignment


def test_its_removal_ends_the_wait() -> None:
    site = Site()
    site.put(_dataplane("b2", "10.0.1.2"))
    site.hub.set_warming(B2, True)
    assert site.delete(B2) == {}
    assert site.put(_dataplane("b2", "10.0.1.2")) == ASSIGNMENT


def test_a_mesh_of_which_nothing_is_left_is_forgotten() -> None:
    site = Site()
    other = world.key("x", mesh="other")
    assert site.hub.set_warming(other, True) == {}
    assert site.hub.set_warming(other, False) == {}
    assert "other" not in site.hub._view._meshes
