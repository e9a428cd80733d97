"""A service whose only instance goes and comes back: clients keep addresses for as long as they like."""

from __future__ import annotations

import pytest

from lab import Lab, eventually
from named_mesh import NamedMesh, named_mesh
from redirected_network import missing

LACKING = missing("iptables-nft", "ip6tables-nft", "curl", "dig")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

AT_ONCE = {"KUMA_XDS_DATAPLANE_DEREGISTRATION_DELAY": "0s"}
URL = "http://backend.mesh"


def _end_the_only_instance(world: NamedMesh) -> str:
    """And with it its Dataplane; gives the address that clients know."""
    world.offer("backend-1", "backend")
    world.redirect()
    world.reaches(URL, "backend-1")
    [vip] = world.lookup("backend.mesh")
    assert world.sidecars["backend-1"].program.end() == 0
    with world.server.inside():
        eventually(lambda: world.plane.get("/meshes/default/dataplanes/backend-1") is None, "no Dataplane")
    return vip


def _start_it_again(world: NamedMesh) -> None:
    with world.server.inside():
        world.sidecars["backend-1"].start()
        world.sidecars["backend-1"].ready()
    world.reaches(URL, "backend-1")


def test_the_name_of_a_service_that_restarts_never_left(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab, **AT_ONCE) as world:
        vip = _end_the_only_instance(world)
        world.offer("other-1", "other")
        world.reaches("http://other.mesh", "other-1")
        assert world.lookup("backend.mesh") == [vip]
        assert world.curl(URL)[0] == 503
        _start_it_again(world)
        assert world.lookup("backend.mesh") == [vip]


def test_an_address_that_clients_remember_leads_to_its_service_or_to_nobody(mesh_lab: Lab) -> None:
    with named_mesh(mesh_lab, **AT_ONCE, KUMA_DNS_SERVER_DELETION_GRACE_PERIOD="0s") as world:
        vip = _end_the_only_instance(world)
        eventually(lambda: world.status_of("backend.mesh") == "NXDOMAIN", "no name")
        world.offer("other-1", "other")
        world.reaches("http://other.mesh", "other-1")
        assert world.answered_by(f"http://{vip}") == ""
        with world.server.inside():
            world.plane.kill()
            world.plane.start()
        world.offer("third-1", "third")
        world.reaches("http://third.mesh", "third-1")
        assert world.answered_by(f"http://{vip}") == ""
        _start_it_again(world)
        assert world.lookup("backend.mesh") == [vip]
