"""A zone that stands alone, with an egress: services outside the mesh are reached through it, and only so."""

from __future__ import annotations

import base64
import json
import signal
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest

from kumacp.identity.ca import CertificateAuthority, issue_identity
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey
from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh, tcp_line
from load import Load
from mesh_pki import Pki
from tls_server import tls_server


def external(name: str, address: str, protocol: str = "http", **more: Any) -> dict[str, Any]:
    tags = {"kuma.io/service": name, "kuma.io/protocol": protocol, **more.pop("tags", {})}
    networking = {"address": address, **more}
    return {
        "type": "ExternalService",
        "mesh": "default",
        "name": name,
        "networking": networking,
        "tags": tags,
    }


def through_egress(**fields: Any) -> dict[str, Any]:
    return {**mesh(**fields), "routing": {"zoneEgress": True}}


def permission(source: str, destination: str) -> dict[str, Any]:
    return {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": f"{source}-to-{destination}",
        "sources": [{"match": {"kuma.io/service": source}}],
        "destinations": [{"match": {"kuma.io/service": destination}}],
    }


def mesh_permission(service: str, source: str, action: str) -> dict[str, Any]:
    who = {"targetRef": {"kind": "MeshService", "name": source}, "default": {"action": action}}
    spec = {"targetRef": {"kind": "MeshService", "name": service}, "from": [who]}
    return {"type": "MeshTrafficPermission", "mesh": "default", "name": f"of-{service}", "spec": spec}


class Scene:
    """A mesh whose way out is the egress, and the proxy `web`; `ports` are its outbounds by service."""

    def __init__(self, lab: Lab, *services: str, **fields: Any) -> None:
        self.lab = lab
        self.plane: ControlPlane = lab.control_plane()
        self.plane.put(through_egress(**fields))
        self.ports = {service: free_port() for service in services}
        document = dataplane("web-1", "web", app_port=free_port(), outbounds=self.ports)
        self.web: Sidecar = lab.sidecar(self.plane, document)

    def egress(self, name: str = "egress-1") -> tuple[Sidecar, int]:
        """With the port of its listener."""
        body = {"zone": "default", "scope": ["egress"], "validFor": "1h"}
        status, token = http("POST", f"{self.plane.api}/tokens/zone", body)
        assert status == 200, token
        port = free_port()
        networking = {"address": "127.0.0.1", "port": port, "admin": {"port": free_port()}}
        document = {"type": "ZoneEgress", "name": name, "networking": networking}
        arguments = ["--proxy-type=egress"]
        return self.lab.sidecar(self.plane, document, token=token.decode(), arguments=arguments), port

    def call(self, service: str) -> tuple[int, bytes]:
        return http("GET", f"http://127.0.0.1:{self.ports[service]}/")

    def becomes(self, service: str, status: int) -> None:
        """Seen ten times in a row: the sidecar's threads have a connection each, and old ones drain."""

        def ten() -> bool:
            return all(self.call(service)[0] == status for _ in range(10))

        eventually(ten, f"{status} of {service}")

    def seen(self, service: str) -> dict[str, Any]:
        """What the server saw of a call, as soon as one succeeds."""
        self.becomes(service, 200)
        answer: dict[str, Any] = json.loads(self.call(service)[1])
        return answer

    def endpoints(self, service: str) -> set[tuple[str, int]]:
        """Of the sidecar's cluster."""
        clusters = json.loads(self.web.admin("/clusters?format=json"))["cluster_statuses"]
        hosts = [host for one in clusters if one["name"] == service for host in one.get("host_statuses", [])]
        sockets = [host["address"]["socket_address"] for host in hosts]
        return {(socket["address"], socket["port_value"]) for socket in sockets}


def identity_in(plane: ControlPlane, mesh: str) -> bytes:
    """Certificate and key of a workload `web` of a mesh."""
    files = (f"/meshes/{mesh}/secrets/{mesh}.ca-builtin-{part}-ca-1" for part in ("cert", "key"))
    authority = CertificateAuthority(*(base64.b64decode(plane.get(path)["data"]) for path in files))
    request = IdentityRequest(ResourceKey("Dataplane", mesh, "web-1"), mesh, "ca-1", ("web",), (), "", 3600)
    issued = issue_identity(authority, request, now=datetime.now(UTC))
    return issued.certificate + issued.private_key


def ask(port: int, server_name: str, identity: Path | None = None) -> bytes:
    """The answer to a request over TLS; b"" when the connection was closed instead."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["kuma"])
    if identity is not None:
        context.load_cert_chain(identity)
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as sock,
            context.wrap_socket(sock, server_hostname=server_name) as tls,
        ):
            tls.sendall(b"GET / HTTP/1.1\r\nhost: httpbin\r\n\r\n")
            return tls.recv(1024)
    except (ssl.SSLError, ConnectionError):
        return b""


def kill(proxy: Sidecar) -> None:
    """Without a word, and its Envoy with it."""
    children = psutil.Process(proxy.program.process.pid).children()
    proxy.program.end(signal.SIGKILL)
    psutil.wait_procs(children, timeout=30)


@pytest.mark.promise("B16", part="external service through the egress")
def test_what_is_outside_is_reached_through_the_egress_only(mesh_lab: Lab) -> None:
    servers, (app, lines) = Pki.create("servers"), (free_port(), free_port())
    mesh_lab.app("http", "app", app)
    mesh_lab.app("tcp", "lines", lines)
    scene = Scene(mesh_lab, "httpbin", "secure", "lines", "elsewhere")
    scene.plane.put(external("httpbin", f"localhost:{app}"))
    scene.plane.put(external("lines", f"127.0.0.1:{lines}", "tcp"))
    scene.plane.put(external("elsewhere", f"127.0.0.1:{app}", tags={"kuma.io/zone": "west"}))
    scene.web.ready()
    # Nobody goes around an egress that is not there.
    scene.becomes("httpbin", 503)
    egress, port = scene.egress()
    egress.ready()
    with tls_server(mesh_lab.folder, servers, "localhost") as secure:
        certificate = base64.b64encode(servers.ca).decode()
        tls = {"enabled": True, "caCert": {"inline": certificate}}
        scene.plane.put(external("secure", f"localhost:{secure}", tls=tls))
        seen = scene.seen("httpbin")
        assert seen["headers"]["host"] == "localhost"
        assert not {"x-kuma-tags", "x-forwarded-client-cert"} & seen["headers"].keys()
        assert scene.seen("secure")["sni"] == "localhost"
    line = eventually(lambda: tcp_line(scene.ports["lines"], b"hello\n"), "a line")
    assert line == b"lines hello\n"
    for service in ("httpbin", "secure", "lines"):
        assert scene.endpoints(service) == {("127.0.0.1", port)}
        assert egress.stat(f"cluster.default_{service}.upstream_cx_total") > 0
    # What another zone only may call is not called from here, by whatever way.
    assert scene.call("elsewhere")[0] == 503
    assert b"default:elsewhere" not in egress.admin("/clusters")
    (overview,) = scene.plane.get("/zoneegresses/_overview")["items"]
    assert overview["zoneEgressInsight"]["subscriptions"][-1].get("disconnectTime") is None


def test_who_may_call_is_decided_at_the_egress(mesh_lab: Lab) -> None:
    app, lines = free_port(), free_port()
    mesh_lab.app("http", "app", app)
    mesh_lab.app("tcp", "lines", lines)
    scene = Scene(mesh_lab, "httpbin", "lines")
    scene.plane.put(external("httpbin", f"127.0.0.1:{app}"))
    scene.plane.put(external("lines", f"127.0.0.1:{lines}", "tcp"))
    egress, _ = scene.egress()
    egress.ready()
    scene.web.ready()
    scene.becomes("httpbin", 200)
    scene.plane.delete("/meshes/default/traffic-permissions/allow-all-default")
    scene.becomes("httpbin", 403)
    scene.plane.put(permission("api", "httpbin"))
    # A connection that a TrafficPermission does not allow is closed, as by a sidecar.
    scene.becomes("httpbin", 503)
    assert egress.stat("httpbin.rbac.denied") > 0
    assert tcp_line(scene.ports["lines"], b"hello\n") == b""
    scene.plane.put(permission("web", "lines"))
    assert eventually(lambda: tcp_line(scene.ports["lines"], b"hello\n"), "a line") == b"lines hello\n"
    scene.becomes("httpbin", 503)
    scene.plane.put(mesh_permission("httpbin", "web", "Deny"))
    scene.becomes("httpbin", 403)
    scene.plane.put(mesh_permission("httpbin", "web", "Allow"))
    scene.becomes("httpbin", 200)


def test_nobody_gets_through_who_is_not_of_the_mesh(mesh_lab: Lab) -> None:
    app = free_port()
    mesh_lab.app("http", "app", app)
    scene = Scene(mesh_lab, "httpbin")
    scene.plane.put({**through_egress(), "name": "other"})
    for name in ("default", "other"):
        scene.plane.put({**external("httpbin", f"127.0.0.1:{app}"), "mesh": name})
    egress, port = scene.egress()
    egress.ready()
    scene.web.ready()
    scene.becomes("httpbin", 200)
    total = "cluster.default_httpbin.upstream_rq_total"
    before = egress.stat(total)
    stranger = mesh_lab.folder / "stranger.pem"
    # Of the right name, but of another authority: that of its own mesh, or none that anybody knows.
    stranger.write_bytes(b"".join(Pki.create("default").identity("web")))
    name = "httpbin{mesh=default}"
    assert http("GET", f"http://127.0.0.1:{port}/")[0] == 0
    assert ask(port, name) == b""
    assert ask(port, name, stranger) == b""
    assert ask(port, "httpbin{mesh=none}", stranger) == b""
    member = mesh_lab.folder / "member.pem"
    member.write_bytes(identity_in(scene.plane, "other"))
    assert ask(port, name, member) == b""
    assert egress.stat(total) == before
    # The same client is welcome in its own mesh.
    assert ask(port, "httpbin{mesh=other}", member).startswith(b"HTTP/1.1 200")


def test_an_egress_that_dies_is_missed_unless_there_is_another(mesh_lab: Lab) -> None:
    app = free_port()
    mesh_lab.app("http", "app", app)
    scene = Scene(mesh_lab, "httpbin")
    scene.plane.put(external("httpbin", f"127.0.0.1:{app}"))
    first, port = scene.egress("egress-1")
    first.ready()
    scene.web.ready()
    scene.becomes("httpbin", 200)
    kill(first)
    scene.becomes("httpbin", 503)
    first.start()
    first.ready()
    scene.becomes("httpbin", 200)
    second, other = scene.egress("egress-2")
    second.ready()
    both = {("127.0.0.1", port), ("127.0.0.1", other)}
    eventually(lambda: scene.endpoints("httpbin") == both, "both egresses as endpoints")
    kill(first)
    # The sidecar tries the other one.
    assert {scene.call("httpbin")[0] for _ in range(20)} == {200}


def test_one_of_two_egresses_is_stopped_and_started_without_a_failed_request(mesh_lab: Lab) -> None:
    app = free_port()
    mesh_lab.app("http", "app", app)
    scene = Scene(mesh_lab, "httpbin")
    scene.plane.put(external("httpbin", f"127.0.0.1:{app}"))
    (first, _), (second, other) = scene.egress("egress-1"), scene.egress("egress-2")
    for proxy in (first, second, scene.web):
        proxy.ready()
    eventually(lambda: len(scene.endpoints("httpbin")) == 2, "both egresses as endpoints")
    scene.becomes("httpbin", 200)
    with Load(scene.ports["httpbin"], threads=2) as load:
        load.wait_for(100)
        first.program.end()
        eventually(lambda: scene.endpoints("httpbin") == {("127.0.0.1", other)}, "the one that is left")
        load.wait_for(100)
        first.start()
        first.ready()
        eventually(lambda: len(scene.endpoints("httpbin")) == 2, "both again")
        load.wait_for(100)
    assert load.failures == {}


def test_it_listens_only_while_there_is_something_to_serve(mesh_lab: Lab) -> None:
    app = free_port()
    mesh_lab.app("http", "app", app)
    scene = Scene(mesh_lab, "httpbin", mode="PERMISSIVE")
    egress, port = scene.egress()
    egress.ready()
    assert f"inbound:127.0.0.1:{port}" not in egress.admin("/listeners").decode()
    scene.plane.put(external("httpbin", f"127.0.0.1:{app}"))
    scene.web.ready()
    # With mTLS up to the egress also where the mesh takes plain text.
    scene.becomes("httpbin", 200)
    eventually(lambda: f"inbound:127.0.0.1:{port}" in egress.admin("/listeners").decode(), "its listener")
    scene.plane.put(mesh(mode="PERMISSIVE"))
    eventually(lambda: f"inbound:127.0.0.1:{port}" not in egress.admin("/listeners").decode(), "no listener")
    # Without the switch the sidecar calls the server itself.
    scene.becomes("httpbin", 200)
    assert scene.endpoints("httpbin") == {("127.0.0.1", app)}
    eventually(lambda: b"zone-egress" not in egress.admin("/certs"), "no certificate of the mesh")


def test_each_mesh_has_its_own_identity_there_which_is_renewed(mesh_lab: Lab) -> None:
    app = free_port()
    mesh_lab.app("http", "app", app)
    scene = Scene(mesh_lab, "httpbin", expiration="5s")
    scene.plane.put({**through_egress(), "name": "other"})
    for name in ("default", "other"):
        scene.plane.put({**external("httpbin", f"127.0.0.1:{app}"), "mesh": name})
    egress, _ = scene.egress()
    egress.ready()
    scene.web.ready()
    scene.becomes("httpbin", 200)

    def certificates() -> dict[str, str]:
        """Serial numbers by identity."""
        found = json.loads(egress.admin("/certs"))["certificates"]
        chains = [chain for one in found for chain in one["cert_chain"]]
        return {name["uri"]: one["serial_number"] for one in chains for name in one["subject_alt_names"]}

    identities = {"spiffe://default/zone-egress", "spiffe://other/zone-egress"}
    before = eventually(lambda: certificates() if identities <= certificates().keys() else None, "both")
    mine, others = sorted(identities)
    eventually(lambda: certificates()[mine] != before[mine], "the renewal")
    assert certificates()[others] == before[others]
    scene.becomes("httpbin", 200)
