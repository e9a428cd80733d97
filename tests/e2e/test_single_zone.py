"""What one zone promises: isolation of meshes, registration, inventory, one control plane for its proxies."""

from __future__ import annotations

import base64
import re
import shutil
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest

from agent_runs import envoy_of
from kumacp.identity.ca import CertificateAuthority, issue_identity
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey
from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh
from pair import start_pair

SERVICES = "/meshes/default/service-insights"


@pytest.mark.promise("A03", part="two meshes in one zone: own roots, no cross traffic")
def test_two_meshes_with_the_same_service_stay_apart(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    ports, sidecars = {}, {}
    for name in ("m1", "m2"):
        plane.put(mesh(name))
        app_port, ports[name] = free_port(), free_port()
        mesh_lab.app("http", f"backend-of-{name}", app_port)
        backend = dataplane("backend-1", "backend", app_port=app_port, mesh=name)
        sidecars[name] = (mesh_lab.sidecar(plane, backend).ready(), backend)
        web = dataplane("web-1", "web", app_port=free_port(), mesh=name, outbounds={"backend": ports[name]})
        sidecars[f"web of {name}"] = (mesh_lab.sidecar(plane, web).ready(), web)
    for name, port in ports.items():
        eventually(lambda port=port: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, "an answer")
        answers = {http("GET", f"http://127.0.0.1:{port}/")[1].split(b",")[0] for _ in range(20)}
        assert answers == {f'{{"name": "backend-of-{name}"'.encode()}
    roots = {_root(sidecars[name][0]) for name in ("m1", "m2")}
    assert len(roots) == 2
    # A certificate of m1, even one for its service backend, is no key to an inbound of m2.
    inbound = sidecars["m2"][1]["networking"]["inbound"][0]["port"]
    refused = f"listener.127.0.0.1_{inbound}.ssl.fail_verify_error"
    assert sidecars["m2"][0].stat(refused) == 0
    certificate = _certificate_of(plane, "m1", mesh_lab.folder)
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _handshake(inbound, certificate)
    eventually(lambda: sidecars["m2"][0].stat(refused) == 1, "the refusal to be counted")


def _certificate_of(plane: ControlPlane, name: str, folder: Path) -> Path:
    """PEM file with a certificate and key for the service backend, signed by the CA of the mesh."""
    cert, key = (
        base64.b64decode(plane.get(f"/meshes/{name}/secrets/{name}.ca-builtin-{part}-ca-1")["data"])
        for part in ("cert", "key")
    )
    request = IdentityRequest(
        ResourceKey("Dataplane", name, "x"), name, "ca-1", ("backend",), (), "", lifetime_s=3600
    )
    identity = issue_identity(CertificateAuthority(cert, key), request, now=datetime.now(UTC))
    path = folder / f"{name}.pem"
    path.write_bytes(identity.certificate + identity.private_key)
    return path


def _handshake(port: int, certificate: Path) -> None:
    """TLS with this client certificate and no look at the server's; an error when the server refuses it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate)
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
        context.wrap_socket(sock, server_hostname="backend{mesh=m2}") as tls,
    ):
        # With TLS 1.3 the client learns of the refusal when it reads.
        tls.sendall(b"GET / HTTP/1.1\r\nhost: backend\r\n\r\n")
        if not tls.recv(1):
            raise ConnectionError("closed without an answer")


def _root(sidecar: Sidecar) -> bytes:
    return sidecar.admin("/certs").partition(b'"ca_cert"')[2].partition(b'"cert_chain"')[0]


@pytest.mark.promise("B10", part="streams only from local data planes")
@pytest.mark.promise("B13", part="local control plane and xDS")
@pytest.mark.promise("B13", part="one ADS stream, to the local control plane")
def test_each_proxy_has_one_stream_to_its_control_plane(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    eventually(lambda: pair.plane.metric("xds_streams_active") == 2, "two streams")
    for sidecar in (pair.web, pair.backend):
        agent = psutil.Process(sidecar.program.process.pid)
        remote = [c.raddr.port for c in agent.net_connections("tcp") if c.raddr and c.status == "ESTABLISHED"]
        assert remote.count(pair.plane.dp_port) == 1
        overview = pair.plane.get(f"/meshes/default/dataplanes/{sidecar.name}/_overview")
        (subscription,) = overview["dataplaneInsight"]["subscriptions"]
        assert "disconnectTime" not in subscription
        assert overview["dataplane"]["networking"]["inbound"][0]["tags"]["kuma.io/zone"] == "default"


@pytest.mark.promise("C05", part="zone mode starts, stands alone")
def test_zone_mode_starts_with_its_name(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane(KUMA_MODE="zone", KUMA_MULTIZONE_ZONE_NAME="zone-1")
    assert plane.get("/")["product"] == "Kuma"
    plane.put(mesh(mode=None))
    assert plane.get("/meshes/default/traffic-permissions/allow-all-default")


@pytest.mark.promise("C05", part="scheme other than grpc and grpcs refused")
def test_a_global_address_with_another_scheme_is_refused(tmp_path: Path) -> None:
    plane = ControlPlane(tmp_path, {"KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS": "https://127.0.0.1:5685"})
    with pytest.raises(AssertionError, match="grpcs://"):
        plane.start()
    assert plane.program.process.wait(10) != 0
    assert "Traceback" not in plane.program.log


@pytest.mark.promise("C13", part="sidecar with the copied certificate")
@pytest.mark.promise("C13", part="wrong CA: TLS failure, no registration")
@pytest.mark.promise("C13", part="certificate stable across restarts")
def test_the_copied_certificate_is_all_that_a_data_plane_needs(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    certificate = plane.work_dir / "kuma-cp.crt"
    first = certificate.read_bytes()
    plane.stop()
    plane.start()
    assert certificate.read_bytes() == first
    copy = mesh_lab.folder / "copied.crt"
    shutil.copy(certificate, copy)
    document = dataplane("web-1", "web", app_port=free_port())
    mesh_lab.sidecar(plane, document, arguments=[f"--ca-cert-file={copy}"]).ready()
    other = ControlPlane(mesh_lab.folder / "other")
    other.folder.mkdir()
    other.start()
    try:
        wrong = dataplane("web-2", "web", app_port=free_port())
        foreign = other.work_dir / "kuma-cp.crt"
        sidecar = mesh_lab.sidecar(plane, wrong, arguments=[f"--ca-cert-file={foreign}"])
        assert sidecar.program.process.wait(30) != 0
        assert "certificate" in sidecar.program.log.strip().splitlines()[-1]
        assert plane.get("/meshes/default/dataplanes/web-2") is None
    finally:
        other.stop()


@pytest.mark.promise("E01", part="one data plane with backend ca-1")
@pytest.mark.promise("E01", part="offline after the data plane stopped")
@pytest.mark.promise("E06", part="table with Online 1/1")
@pytest.mark.promise("C23", part="whole")
def test_inventory_of_services(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)

    def backend() -> dict[str, object]:
        items = pair.plane.get(SERVICES)["items"]
        return next((item for item in items if item["name"] == "backend"), {})

    eventually(lambda: backend().get("issuedBackends") == {"ca-1": 1}, "the issued backend")
    assert backend()["dataplanes"] == {"online": 1, "offline": 0, "total": 1}
    assert backend()["status"] == "online"
    table = pair.plane.kumactl("inspect", "services")
    assert re.search(r"^SERVICE\s+STATUS\s+DATAPLANES", table, re.M)
    assert re.search(r"^backend\s+Online\s+1/1$", table, re.M)
    lines = pair.plane.kumactl("inspect", "dataplanes").splitlines()
    assert sum("Online" in line for line in lines) == 2
    # Killed, so that nothing can deregister it: it is offline first and removed later.
    agent = psutil.Process(pair.backend.program.process.pid)
    pair.backend.program.end(9)
    psutil.wait_procs(agent.children() if agent.is_running() else [])
    eventually(lambda: backend().get("status") == "offline", "offline")
    assert re.search(r"^backend\s+Offline\s+0/1$", pair.plane.kumactl("inspect", "services"), re.M)
    eventually(lambda: pair.plane.get("/meshes/default/dataplanes/backend-1") is None, "its removal")


@pytest.mark.promise("E07", part="outbound listener in one zone")
def test_the_outbound_of_the_documents_answers_on_localhost(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    service, app_port = "echo-server_echo-example_svc_1010", free_port()
    mesh_lab.app("http", "echo", app_port)
    mesh_lab.sidecar(plane, dataplane("echo-1", service, app_port=app_port)).ready()
    mesh_lab.sidecar(
        plane, dataplane("web-1", "web", app_port=free_port(), outbounds={service: 20012})
    ).ready()
    eventually(lambda: http("GET", "http://localhost:20012/")[0] == 200, "an answer at localhost:20012")


@pytest.mark.promise("I05", part="only kuma-dp is run; Envoy's admin reachable locally")
def test_kuma_dp_runs_envoy_and_its_admin_is_there(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    envoy = envoy_of(pair.web.program)
    assert "envoy" in envoy.name()
    assert b"LIVE" in pair.web.admin("/ready")
    assert b"outbound:127.0.0.1:" in pair.web.admin("/config_dump")
    assert pair.plane.token("web-1")[:20] not in " ".join(envoy.cmdline())
    assert pair.web.program.end() == 0
    assert not envoy.is_running()


def test_one_tls_port_serves_bootstrap_and_xds_with_the_same_certificate(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    seen = set()
    for protocols in (["h2"], ["http/1.1"]):
        context = ssl.create_default_context(cafile=str(plane.work_dir / "kuma-cp.crt"))
        context.set_alpn_protocols(protocols)
        with (
            socket.create_connection(("localhost", plane.dp_port)) as sock,
            context.wrap_socket(sock, server_hostname="localhost") as tls,
        ):
            seen.add((tls.selected_alpn_protocol(), tls.getpeercert(True)))
    assert {protocol for protocol, _ in seen} == {"h2", "http/1.1"}
    assert len({certificate for _, certificate in seen}) == 1


def test_a_name_as_address_of_a_data_plane_is_resolved(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    app_port, port = free_port(), free_port()
    mesh_lab.app("http", "backend-1", app_port)
    document = dataplane("backend-1", "backend", app_port=app_port)
    document["networking"]["address"] = "localhost"
    mesh_lab.sidecar(plane, document).ready()
    web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
    mesh_lab.sidecar(plane, web).ready()
    eventually(lambda: http("GET", f"http://127.0.0.1:{port}/")[0] == 200, "an answer")
    stored = plane.get("/meshes/default/dataplanes/backend-1")
    assert stored["networking"]["address"] == "localhost"
