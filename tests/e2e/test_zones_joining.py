"""Who may join what: control planes global, proxies a zone; and zones whose global has lost all."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from kumacp.kds.protocol.hashing import synced_name
from lab import Lab, Sidecar, eventually, free_port, mesh
from redirected_network import missing, network
from zone_parts import Caller
from zones import World, zones

LACKING = missing()
TOLD = "KUMA_MULTIZONE_ZONE_GLOBAL_CLUSTER_ID"
SYNC = "/kuma.mesh.v1alpha1.KDSSyncService/GlobalToZoneSync"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with zones(tmp_path_factory.mktemp("joining"), "z1", "z2", meshes=[mesh()]) as world:
        yield world


@pytest.mark.promise("B01", part="who names no zone is refused")
def test_a_client_that_names_no_zone_is_refused(world: World) -> None:
    trusted = grpc.ssl_channel_credentials((world.top.work_dir / "kuma-cp.crt").read_bytes())
    with grpc.secure_channel(f"localhost:{world.kds_port}", trusted) as channel:
        call = channel.stream_stream(SYNC)(iter([b""]), timeout=20)
        with pytest.raises(grpc.RpcError) as refused:
            next(call)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "client-id" in refused.value.details()
    assert world.get("/zones")["total"] == 2


@pytest.mark.promise("B07", part="data planes join")
@pytest.mark.promise("B07", part="an ingress of another zone is refused")
def test_a_zone_takes_its_own_proxies_only(world: World) -> None:
    served = world["z1"].serve("joined")
    served.ready()
    table = world["z1"].plane.kumactl("inspect", "dataplanes")
    assert any("joined-1" in line and "Online" in line for line in table.splitlines())
    document = {
        "type": "ZoneIngress",
        "name": "stranger",
        "networking": {
            "address": "127.0.0.1",
            "port": free_port(),
            "advertisedAddress": "127.0.0.1",
            "advertisedPort": free_port(),
            "admin": {"port": free_port()},
        },
    }
    options = {"token": world["z1"].token("ingress"), "arguments": ["--proxy-type=ingress"]}
    stranger = world["z2"].run(document, **options).sidecar.program
    assert stranger.process.wait(60) != 0
    assert "zone from requestor: z2 is different than in token: z1" in stranger.log
    assert world["z2"].get("/zoneingresses/stranger") is None


@pytest.mark.promise("B05", part="traffic survives the loss of global's database")
def test_zones_lose_nothing_when_global_has_lost_everything(world: World) -> None:
    """An empty global control plane at the same address is not the one that the zones know."""
    served, ingress = world["z2"].serve("kept"), world["z2"].ingress()
    caller: Caller = world["z1"].caller("web", "kept")
    world.ready()
    caller.reaches("kept", "z2")
    permission = {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": "kept",
        "sources": [{"match": {"kuma.io/service": "*"}}],
        "destinations": [{"match": {"kuma.io/service": "*"}}],
    }
    world.put(permission)
    path = f"/meshes/default/traffic-permissions/{synced_name('default', 'kept', {})}"
    eventually(lambda: None not in world.everywhere(path), "the permission in the zones")
    world.top.kill()
    for file in world.top.work_dir.glob("kuma-cp.db*"):
        file.unlink()
    with caller.load("kept") as load:
        world.top.start()
        for zone in world.zones.values():
            zone.plane.program.wait_until(lambda zone=zone: TOLD in zone.plane.program.log, "the remedy", 60)
        load.wait_for(200)
        assert None not in world.everywhere(path)
        assert world["z1"].get("/meshes/default")["mtls"]["enabledBackend"] == "ca-1"
        name = synced_name("", ingress.name, {"kuma.io/zone": "z2"})
        assert world["z1"].get(f"/zoneingresses/{name}") is not None
    assert not load.failures
    assert served.sidecar.program.running


@pytest.mark.promise("C13", part="ingress in its own network namespace")
@pytest.mark.skipif(bool(LACKING), reason=LACKING)
def test_an_ingress_elsewhere_needs_nothing_but_the_copied_certificate(mesh_lab: Lab, tmp_path: Path) -> None:
    with network("plane", "edge") as hosts:
        with hosts["plane"].inside():
            plane = mesh_lab.control_plane()
            options = ("--zone=default", "--scope=ingress", "--valid-for=1h")
            token = plane.kumactl("generate", "zone-token", *options).strip()
            others = tmp_path / "others.crt"
            plane.kumactl(
                *("generate", "tls-certificate", "--type=server", "--hostname=other"),
                *(f"--cert-file={others}", f"--key-file={tmp_path / 'others.key'}"),
            )
        copied = tmp_path / "kuma-cp.crt"
        shutil.copy(plane.work_dir / "kuma-cp.crt", copied)

        def run(name: str, certificate: Path) -> Sidecar:
            address = hosts["edge"].address
            networking = {
                "address": address,
                "port": 10000,
                "advertisedAddress": address,
                "advertisedPort": 10000,
                "admin": {"port": free_port()},
            }
            with hosts["edge"].inside():
                return mesh_lab.sidecar(
                    plane,
                    {"type": "ZoneIngress", "name": name, "networking": networking},
                    token=token,
                    cp_address=f"https://{hosts['plane'].address}:{plane.dp_port}",
                    environ={"KUMA_CONTROL_PLANE_RETRY_MAX_DURATION": "2s"},
                    arguments=["--proxy-type=ingress", f"--ca-cert-file={certificate}"],
                )

        edge = run("ingress-01", copied)
        with hosts["edge"].inside():
            edge.ready()
        with hosts["plane"].inside():
            rows = plane.kumactl("inspect", "zoneingresses").splitlines()
            assert any("ingress-01" in row and "Online" in row for row in rows)
        refused = run("ingress-02", others).program
        assert refused.process.wait(60) != 0
        assert "certificate" in refused.log
        with hosts["plane"].inside():
            assert plane.get("/zoneingresses/ingress-02") is None
