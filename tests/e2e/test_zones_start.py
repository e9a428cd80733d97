"""How control planes of zones and global are started, and what they say when that is wrong."""

from __future__ import annotations

import signal
import socket
import ssl

import psutil
import pytest

from lab import ControlPlane, Lab, Program, eventually, free_port, http
from tcp_relay import relays

JOIN_S = 10.0


def _listening(program: Program) -> set[int]:
    """TCP ports of the program and its children."""
    parent = psutil.Process(program.process.pid)
    return {
        connection.laddr.port
        for process in (parent, *parent.children(recursive=True))
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }


def _plane(mesh_lab: Lab, name: str, **environ: str) -> ControlPlane:
    folder = mesh_lab.folder / name
    folder.mkdir()
    plane = ControlPlane(folder, environ)
    plane.launch()
    mesh_lab.keep(lambda: plane.program)
    return plane


def _global(mesh_lab: Lab, kds: int, **environ: str) -> ControlPlane:
    settings = {"KUMA_MODE": "global", "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT": str(kds), **environ}
    return _plane(mesh_lab, "global", **settings)


def _zone(mesh_lab: Lab, name: str, address: str, **environ: str) -> ControlPlane:
    return _plane(
        mesh_lab,
        name,
        KUMA_MODE="zone",
        KUMA_MULTIZONE_ZONE_NAME=name,
        KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS=address,
        **environ,
    )


def _online(top: ControlPlane, zone: str) -> bool:
    shown = top.get(f"/zones/{zone}/_overview") or {}
    subscriptions = shown.get("zoneInsight", {}).get("subscriptions", [])
    return any("disconnectTime" not in one for one in subscriptions)


@pytest.fixture
def top(mesh_lab: Lab) -> tuple[ControlPlane, int]:
    kds = free_port()
    return _global(mesh_lab, kds).ready(), kds


@pytest.mark.promise("C02", part="whole")
@pytest.mark.promise("B01", part="no port for data planes")
@pytest.mark.promise("B06", part="nobody bootstraps at global")
def test_global_listens_for_people_and_zones_only(top: tuple[ControlPlane, int]) -> None:
    plane, kds = top
    https = int(plane.environ["KUMA_API_SERVER_HTTPS_PORT"])
    assert _listening(plane.program) == {plane.api_port, https, plane.diagnostics_port, kds}
    with socket.socket() as sock:
        assert sock.connect_ex(("127.0.0.1", plane.dp_port)) != 0
    assert http("POST", f"{plane.api}/bootstrap", {"mesh": "default", "name": "x"})[0] == 404
    assert plane.get("/config")["mode"] == "global"
    assert plane.get("/meshes/default")["name"] == "default"


@pytest.mark.promise("B06", part="kuma-dp ends with an error")
def test_a_data_plane_that_is_sent_to_global_gives_up(top: tuple[ControlPlane, int], mesh_lab: Lab) -> None:
    plane, _ = top
    document = {
        "type": "Dataplane",
        "mesh": "default",
        "name": "dp-1",
        "networking": {
            "address": "127.0.0.1",
            "admin": {"port": free_port()},
            "inbound": [{"port": free_port(), "tags": {"kuma.io/service": "lost"}}],
        },
    }
    limit = {"KUMA_CONTROL_PLANE_RETRY_MAX_DURATION": "1s"}
    program = mesh_lab.sidecar(plane, document, environ=limit).program
    assert program.process.wait(60) != 0
    assert "Traceback" not in program.log
    assert "refused" in program.log.lower()


@pytest.mark.promise("C01", part="whole")
def test_global_has_no_zone(mesh_lab: Lab) -> None:
    plane = _global(mesh_lab, free_port(), KUMA_MULTIZONE_ZONE_NAME="zone-1")
    assert plane.program.process.wait(30) != 0
    assert "KUMA_MULTIZONE_ZONE_NAME" in plane.program.log
    assert "Traceback" not in plane.program.log


@pytest.mark.promise("C03", part="whole")
@pytest.mark.promise("C05", part="exact command with a global")
@pytest.mark.promise("C22", part="skip verify")
@pytest.mark.promise("I04", part="over another address, TLS and HTTP/2")
def test_a_zone_joins_through_another_address(top: tuple[ControlPlane, int], mesh_lab: Lab) -> None:
    plane, kds = top
    with relays() as new_relay:
        relay = new_relay(("127.0.0.1", kds))
        address = f"grpcs://127.0.0.1:{relay.port}"
        zone = _zone(mesh_lab, "zone-1", address, KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY="true")
        zone.ready()
        eventually(lambda: _online(plane, "zone-1"), "zone-1 Online", JOIN_S)
        assert relay.accepted > 0
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    with socket.create_connection(("127.0.0.1", kds)) as sock, context.wrap_socket(sock) as tls:
        assert tls.selected_alpn_protocol() == "h2"


@pytest.mark.promise("C04", part="whole")
def test_a_zone_opens_these_ports_and_no_other(top: tuple[ControlPlane, int], mesh_lab: Lab) -> None:
    plane, kds = top
    zone = _zone(
        mesh_lab, "zone-1", f"grpcs://127.0.0.1:{kds}", KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY="true"
    ).ready()
    eventually(lambda: _online(plane, "zone-1"), "zone-1 Online", JOIN_S)
    https = int(zone.environ["KUMA_API_SERVER_HTTPS_PORT"])
    assert _listening(zone.program) == {zone.dp_port, zone.api_port, https, zone.diagnostics_port}


@pytest.mark.promise("C22", part="neither skip verify nor authority: says what to do")
def test_a_certificate_that_nobody_vouches_for_is_refused(
    top: tuple[ControlPlane, int], mesh_lab: Lab
) -> None:
    plane, kds = top
    zone = _zone(mesh_lab, "zone-1", f"grpcs://127.0.0.1:{kds}").ready()
    zone.program.wait_until(
        lambda: "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE" in zone.program.log, "a line with the remedy"
    )
    line = next(
        each for each in zone.program.log.splitlines() if "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE" in each
    )
    assert "certificate" in line
    assert "KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY" in line
    assert plane.get("/zones")["total"] == 0
    assert zone.program.running


@pytest.mark.promise("C22", part="with the authority")
@pytest.mark.promise("C07", part="names of several forms")
@pytest.mark.parametrize("name", ["zone-1", "us-east.1", "echo-server-kubernetes"])
def test_any_good_name_registers(top: tuple[ControlPlane, int], mesh_lab: Lab, name: str) -> None:
    plane, kds = top
    assert plane.get("/zones")["total"] == 0
    trusted = {"KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE": str(plane.work_dir / "kuma-cp.crt")}
    zone = _zone(mesh_lab, name, f"grpcs://localhost:{kds}", **trusted).ready()
    eventually(lambda: _online(plane, name), f"{name} Online", JOIN_S)
    assert plane.get(f"/zones/{name}")["enabled"] is True
    assert zone.program.end(signal.SIGTERM) == 0


@pytest.mark.promise("I01", part="remote and standalone are zone")
@pytest.mark.parametrize("mode", ["remote", "standalone"])
def test_old_names_of_the_mode_work_with_a_notice(mesh_lab: Lab, mode: str) -> None:
    plane = _plane(mesh_lab, mode, KUMA_MODE=mode).ready()
    assert f"KUMA_MODE={mode} is an old name" in plane.program.log
    permission = {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": "own",
        "sources": [{"match": {"kuma.io/service": "*"}}],
        "destinations": [{"match": {"kuma.io/service": "*"}}],
    }
    plane.put(permission)
    assert plane.get("/meshes/default/traffic-permissions/own") is not None


@pytest.mark.promise("I01", part="remote joins a global")
def test_a_remote_control_plane_joins_global(top: tuple[ControlPlane, int], mesh_lab: Lab) -> None:
    plane, kds = top
    _plane(
        mesh_lab,
        "old",
        KUMA_MODE="remote",
        KUMA_MULTIZONE_ZONE_NAME="old",
        KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS=f"grpcs://localhost:{kds}",
        KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE=str(plane.work_dir / "kuma-cp.crt"),
    ).ready()
    eventually(lambda: _online(plane, "old"), "old Online", JOIN_S)


@pytest.mark.promise("C06", part="one control plane after the other")
def test_a_zone_that_starts_anew_is_the_same_zone(top: tuple[ControlPlane, int], mesh_lab: Lab) -> None:
    plane, kds = top
    trusted = {"KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE": str(plane.work_dir / "kuma-cp.crt")}
    zone = _zone(mesh_lab, "zone-1", f"grpcs://localhost:{kds}", **trusted).ready()
    eventually(lambda: _online(plane, "zone-1"), "zone-1 Online", JOIN_S)
    zone.kill()
    eventually(lambda: not _online(plane, "zone-1"), "zone-1 Offline", JOIN_S)
    zone.start()
    eventually(lambda: _online(plane, "zone-1"), "zone-1 Online again", JOIN_S)
    assert plane.get("/zones")["total"] == 1


def test_certificates_and_database_of_global_survive_its_restart(top: tuple[ControlPlane, int]) -> None:
    plane, _ = top
    before = (plane.work_dir / "kuma-cp.crt").read_bytes()
    cluster = plane.get("/")["clusterId"]
    plane.stop()
    plane.start()
    assert (plane.work_dir / "kuma-cp.crt").read_bytes() == before
    assert plane.get("/")["clusterId"] == cluster
