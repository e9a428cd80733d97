"""A real zone ingress carries TLS of the mesh from hand-made clients to hand-made instances, nothing else."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from lab import ControlPlane, Lab, Sidecar, eventually, free_port, http, lab, mesh
from mesh_pki import Pki
from tls_instances import TlsCaller, TlsInstance

ZONE = "z2"
MESHES = ("default", "other", "plain")


@dataclass
class World:
    """`instances` by mesh and name; the mesh `plain` has no mTLS."""

    lab: Lab
    plane: ControlPlane
    folder: Path
    ingress: Sidecar
    port: int
    pkis: dict[str, Pki] = field(default_factory=lambda: {name: Pki.create(name) for name in MESHES})
    instances: dict[str, TlsInstance] = field(default_factory=dict)

    def instance(self, name: str, service: str, mesh: str = "default", **tags: str) -> TlsInstance:
        """Its Dataplane is there, as if it had connected."""
        made = self.instances[name] = TlsInstance(self.folder, self.pkis[mesh], service, name)
        inbound = {"port": made.port, "tags": {"kuma.io/service": service, **tags}}
        networking = {"address": "127.0.0.1", "inbound": [inbound]}
        self.plane.put({"type": "Dataplane", "mesh": mesh, "name": name, "networking": networking})
        return made

    def caller(self, service: str = "web", mesh: str = "default") -> TlsCaller:
        return TlsCaller(self.folder, self.pkis[mesh], service)

    def carries(self, *server_names: str) -> None:
        """Wait for what the ingress leads somewhere."""
        eventually(
            lambda: set(server_names) <= self.server_names(), f"filter chains for {', '.join(server_names)}"
        )

    def server_names(self) -> set[str]:
        dump = self.ingress.admin("/config_dump?resource=dynamic_listeners").decode()
        return {part.split('"')[0] for part in dump.split('"') if "{mesh=" in part or ",mesh=" in part}

    def untouched(self) -> dict[str, int]:
        return {name: instance.accepted for name, instance in self.instances.items()}


@contextlib.contextmanager
def started(folder: Path, arguments: Sequence[str] = ()) -> Iterator[World]:
    with lab(folder) as programs:
        plane = programs.control_plane(KUMA_MODE="zone", KUMA_MULTIZONE_ZONE_NAME=ZONE)
        for name in ("default", "other"):
            plane.put(mesh(name))
        plane.put(mesh("plain", mode=None))
        ingress, port = new_ingress(programs, plane, "ingress-1", arguments)
        ingress.ready()
        world = World(programs, plane, folder, ingress, port)
        try:
            yield world
        finally:
            for instance in world.instances.values():
                instance.close()


def new_ingress(
    programs: Lab, plane: ControlPlane, name: str, arguments: Sequence[str] = ()
) -> tuple[Sidecar, int]:
    port = free_port()
    networking: dict[str, Any] = {
        "address": "127.0.0.1",
        "port": port,
        "advertisedAddress": "127.0.0.1",
        "advertisedPort": port,
        "admin": {"port": free_port()},
    }
    document = {"type": "ZoneIngress", "name": name, "networking": networking}
    status, token = http(
        "POST", f"{plane.api}/tokens/zone", {"zone": ZONE, "scope": ["ingress"], "validFor": "1h"}
    )
    assert status == 200, token
    options = ["--proxy-type=ingress", *arguments]
    return programs.sidecar(plane, document, token=token.decode(), arguments=options), port


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with started(tmp_path_factory.mktemp("ingress")) as made:
        assert b'{"proxy":".ingress-1","zone":"z2"}' in plainly(made.port)
        made.instance("v1", "backend", version="v1")
        made.instance("v2", "backend", version="v2")
        made.instance("other-1", "backend", "other")
        made.instance("plain-1", "backend", "plain")
        made.instance("upper-1", "Backend_Svc")
        made.carries("backend{mesh=default,version=v2}", "backend{mesh=other}", "backend_svc{mesh=default}")
        yield made


def plainly(port: int) -> bytes:
    """What is answered to plain HTTP; b"" when the connection is closed without a word."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: backend\r\n\r\n")
        try:
            return connection.recv(1000)
        except ConnectionError:
            return b""


def test_mtls_is_end_to_end(world: World) -> None:
    answers = [world.caller().call(world.port, "backend{mesh=default}") for _ in range(20)]
    assert {answer["name"] for answer in answers} == {"v1", "v2"}
    assert {answer["server"] for answer in answers} == {"spiffe://default/backend"}
    assert {answer["client"] for answer in answers} == {"spiffe://default/web"}
    assert {answer["sni"] for answer in answers} == {"backend{mesh=default}"}


def test_tags_in_the_server_name_choose_the_instances(world: World) -> None:
    for name, version in (("v1", "v1"), ("v2", "v2")):
        for asked in (
            f"backend{{mesh=default,version={version}}}",
            f"backend{{kuma.io/zone=z2,mesh=default,version={version}}}",
        ):
            assert {world.caller().call(world.port, asked).get("name") for _ in range(6)} == {name}


def test_meshes_are_kept_apart(world: World) -> None:
    assert world.caller(mesh="other").call(world.port, "backend{mesh=other}")["name"] == "other-1"
    # Somebody of another mesh comes to the instance, which turns it away.
    assert world.caller().call(world.port, "backend{mesh=other}") == {}


def test_the_case_of_a_service_name_does_not_matter(world: World) -> None:
    answer = world.caller().call(world.port, "Backend_Svc{mesh=default}")
    assert (answer["name"], answer["server"]) == ("upper-1", "spiffe://default/Backend_Svc")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "backend",
        "evil.example",
        "backend{mesh=nowhere}",
        "backend{mesh=plain}",
        "backend{mesh=default,version=v3}",
        "*{mesh=default}",
    ],
)
def test_other_server_names_are_closed_and_touch_nobody(world: World, asked: str) -> None:
    before = world.untouched()
    assert world.caller().call(world.port, asked) == {}
    assert world.untouched() == before


def test_plain_http_is_closed_and_touches_nobody(world: World) -> None:
    before = world.untouched()
    assert plainly(world.port) == b""
    assert world.untouched() == before


def test_rest_tells_of_the_ingress_what_its_envoy_says(world: World) -> None:
    for path, part in (
        ("xds", b"backend{mesh=default}"),
        ("clusters", b"default:backend"),
        ("stats", b"cluster.default_backend.upstream_cx_total"),
    ):
        status, body = http("GET", f"{world.plane.api}/zoneingresses/ingress-1/{path}")
        assert status == 200
        assert part in body
    overview = world.plane.get("/zoneingresses/ingress-1/_overview")
    (subscription,) = overview["zoneIngressInsight"]["subscriptions"]
    assert "disconnectTime" not in subscription
    assert overview["zoneIngressInsight"]["metadata"]["dataplane.proxyType"] == "ingress"
    assert "ingress-1   Online" in world.plane.kumactl("inspect", "zoneingresses")


def test_connections_outlive_what_comes_and_goes_beside_them(world: World) -> None:
    with world.caller().connected(world.port, "backend{mesh=default}") as connection:
        connection.ask()
        world.instance("v9", "backend", version="v9")
        world.instance("web-1", "web")
        world.carries("backend{mesh=default,version=v9}", "web{mesh=default}")
        world.plane.delete("/meshes/default/dataplanes/v9")
        world.plane.delete("/meshes/default/dataplanes/web-1")
        eventually(lambda: "web{mesh=default}" not in world.server_names(), "web's filter chains gone")
        assert connection.ask()["name"] in {"v1", "v2"}
    assert world.caller().call(world.port, "web{mesh=default}") == {}


def test_connections_outlive_that_their_cluster_learns_to_tell_instances_apart(world: World) -> None:
    world.instance("lone-1", "lone")
    world.carries("lone{mesh=default}")
    with world.caller().connected(world.port, "lone{mesh=default}") as connection:
        assert connection.ask()["name"] == "lone-1"
        world.instance("lone-2", "lone", version="v2")
        world.carries("lone{mesh=default,version=v2}")
        assert world.caller().call(world.port, "lone{mesh=default,version=v2}")["name"] == "lone-2"
        assert connection.ask()["name"] == "lone-1"


def test_replicas_carry_the_same(world: World) -> None:
    second, port = new_ingress(world.lab, world.plane, "ingress-2")
    second.ready()
    try:
        assert world.caller().call(port, "backend{mesh=default,version=v2}")["name"] == "v2"
        listed = [
            world.plane.get(f"/zoneingresses/ingress-{number}")["availableServices"] for number in (1, 2)
        ]
        assert listed[0] == listed[1]
        assert {entry["mesh"] for entry in listed[0]} == set(MESHES)
    finally:
        second.program.end()


def test_an_ingress_that_stops_is_gone_for_others_before_its_connections_are(tmp_path: Path) -> None:
    with started(tmp_path, ["--drain-time=60s"]) as world:
        world.instance("v1", "backend")
        world.carries("backend{mesh=default}")
        with world.caller().connected(world.port, "backend{mesh=default}") as connection:
            connection.ask()
            world.ingress.program.process.terminate()
            eventually(lambda: world.plane.get("/zoneingresses/ingress-1") is None, "deregistered")
            assert connection.ask()["name"] == "v1"
            assert world.ingress.program.running
        assert world.ingress.program.process.wait(30) == 0
