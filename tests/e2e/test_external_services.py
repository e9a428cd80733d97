"""Services outside the mesh, called through a real Envoy: plain, with TLS, and with what may go wrong."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from agent_runs import envoy_of
from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh, tcp_line
from mesh_pki import Pki
from tls_server import tls_server


def external(
    name: str, address: str, protocol: str = "http", tls: dict[str, Any] | None = None, **tags: str
) -> dict[str, Any]:
    """An ExternalService of the service `name`, or of the one that `tags` name."""
    networking: dict[str, Any] = {"address": address}
    if tls is not None:
        networking["tls"] = {"enabled": True, **tls}
    service = {"kuma.io/service": tags.pop("service", name), "kuma.io/protocol": protocol, **tags}
    return {
        "type": "ExternalService",
        "mesh": "default",
        "name": name,
        "networking": networking,
        "tags": service,
    }


def secret(name: str, data: bytes) -> dict[str, Any]:
    return {
        "type": "Secret",
        "mesh": "default",
        "name": name,
        "data": base64.b64encode(data).decode(),
    }


class Scene:
    """A STRICT mesh with the proxy `web`; `ports` are its outbounds by service."""

    def __init__(self, lab: Lab, *services: str, **environ: str) -> None:
        self.plane: ControlPlane = lab.control_plane()
        self.plane.put(mesh())
        self.ports = {service: free_port() for service in services}
        document = dataplane("web-1", "web", app_port=free_port(), outbounds=self.ports)
        self.web: Sidecar = lab.sidecar(self.plane, document, environ=environ)

    def call(self, service: str) -> tuple[int, str]:
        status, body = http("GET", f"http://127.0.0.1:{self.ports[service]}/")
        return status, body.decode()

    def seen(self, service: str) -> dict[str, Any]:
        """What the server saw of a call, as soon as one succeeds."""
        found: list[str] = []

        def succeeds() -> bool:
            status, body = self.call(service)
            found.append(body)
            return status == 200

        eventually(succeeds, f"an answer of {service}")
        answer: dict[str, Any] = json.loads(found[-1])
        return answer

    def fails(self, service: str, check: str) -> None:
        """Calls are answered with 503, and Envoy tells which check of the server's certificate failed."""
        eventually(lambda: self.call(service)[0] == 503, f"503 of {service}")
        counted = f"cluster.{service}.ssl.fail_verify_{check}"
        eventually(lambda: self.web.stat(counted) > 0, counted)


def test_plain_services_are_called_by_name_and_by_address(mesh_lab: Lab) -> None:
    app, other, tcp = free_port(), free_port(), free_port()
    mesh_lab.app("http", "app", app)
    mesh_lab.app("http", "other", other)
    mesh_lab.app("tcp", "lines", tcp)
    scene = Scene(mesh_lab, "httpbin", "lines")
    scene.plane.put(external("httpbin", f"localhost:{app}"))
    scene.plane.put(external("lines", f"127.0.0.1:{tcp}", "tcp"))
    scene.web.ready()
    seen = scene.seen("httpbin")
    # The server is asked by its own name, and told nothing of the mesh.
    assert seen["headers"]["host"] == "localhost"
    assert "x-kuma-tags" not in seen["headers"]
    assert eventually(lambda: tcp_line(scene.ports["lines"], b"hello\n"), "a line") == b"lines hello\n"
    scene.plane.put(external("second", f"127.0.0.1:{other}", service="httpbin"))
    (insight,) = (
        item
        for item in scene.plane.get("/meshes/default/service-insights")["items"]
        if item["name"] == "httpbin"
    )
    assert (insight["serviceType"], insight["status"]) == ("external", "not_available")
    names: set[str] = set()
    eventually(
        lambda: names.add(scene.seen("httpbin")["name"]) or names == {"app", "other"}, "both endpoints"
    )
    scene.plane.delete("/meshes/default/external-services/httpbin")
    eventually(lambda: {scene.seen("httpbin")["name"] for _ in range(6)} == {"other"}, "the one that is left")


def test_a_service_moves_into_the_mesh_and_out_again(mesh_lab: Lab) -> None:
    outside, inside = free_port(), free_port()
    mesh_lab.app("http", "outside", outside)
    mesh_lab.app("http", "inside", inside)
    scene = Scene(mesh_lab, "httpbin")
    scene.plane.put(external("httpbin", f"127.0.0.1:{outside}"))
    scene.web.ready()
    assert scene.seen("httpbin")["name"] == "outside"
    instance = mesh_lab.sidecar(scene.plane, dataplane("httpbin-1", "httpbin", app_port=inside)).ready()
    eventually(lambda: scene.seen("httpbin")["name"] == "inside", "an answer of the mesh")
    identity = scene.seen("httpbin")["headers"]["x-forwarded-client-cert"]
    assert "URI=spiffe://default/web" in identity
    instance.program.end()
    eventually(lambda: scene.seen("httpbin")["name"] == "outside", "an answer from outside again")
    assert "x-forwarded-client-cert" not in scene.seen("httpbin")["headers"]


def test_tls_with_its_own_authority_a_server_name_and_a_client_certificate(mesh_lab: Lab) -> None:
    servers, clients = Pki.create("servers"), Pki.create("clients")
    certificate, key = clients.identity("web")
    scene = Scene(mesh_lab, "own", "named", "host")
    with (
        tls_server(mesh_lab.folder, servers, "localhost", clients=clients) as mutual,
        tls_server(mesh_lab.folder, servers, "other.example") as named,
    ):
        for name, data in {"ca": servers.ca, "cert": certificate, "key": key}.items():
            scene.plane.put(secret(name, data))
        tls: dict[str, Any] = {"caCert": {"secret": "ca"}}
        client = {"clientCert": {"secret": "cert"}, "clientKey": {"secret": "key"}}
        scene.plane.put(external("own", f"localhost:{mutual}", tls={**tls, **client}))
        scene.plane.put(external("named", f"127.0.0.1:{named}", tls={**tls, "serverName": "other.example"}))
        scene.web.ready()
        assert scene.seen("own")["sni"] == "localhost"
        assert scene.seen("own")["client"] == ["spiffe://clients/web"]
        assert scene.seen("named")["sni"] == "other.example"
        # Without the name that the certificate states the server is not the one that was meant ...
        scene.plane.put(external("named", f"localhost:{named}", tls=tls))
        scene.fails("named", "san")
        # ... unless nobody cares.
        scene.plane.put(
            external("named", f"localhost:{named}", tls={**tls, "skipHostnameVerification": True})
        )
        assert scene.seen("named")["sni"] == "localhost"
        # Without its certificate the client is refused.
        scene.plane.put(external("own", f"localhost:{mutual}", tls=tls))
        eventually(lambda: scene.call("own")[0] == 503, "the refusal of a client without a certificate")
    dump = scene.web.admin("/config_dump?include_eds")
    assert base64.b64encode(key) not in dump
    assert key.splitlines()[1] not in dump


def test_a_wrong_authority_is_told_and_another_secret_heals_without_a_restart(mesh_lab: Lab) -> None:
    right, wrong = Pki.create("right"), Pki.create("wrong")
    scene = Scene(mesh_lab, "httpbin")
    with tls_server(mesh_lab.folder, right, "localhost") as port:
        scene.plane.put(secret("ca", wrong.ca))
        scene.plane.put(external("httpbin", f"localhost:{port}", tls={"caCert": {"secret": "ca"}}))
        scene.web.ready()
        scene.fails("httpbin", "error")
        envoy = envoy_of(scene.web.program)
        scene.plane.put(secret("ca", right.ca))
        scene.seen("httpbin")
        # What no Envoy would take is not sent, and what was there goes on.
        scene.plane.put(secret("ca", b"not a certificate"))
        unusable = scene.plane.get("/meshes/default/external-services/httpbin")["networking"]["tls"]
        assert unusable["caCert"] == {"secret": "ca"}
        eventually(lambda: "is not a certificate in PEM form" in scene.plane.program.log, "the reason")
        assert scene.call("httpbin")[0] == 200
        scene.plane.delete("/meshes/default/secrets/ca")
        eventually(lambda: "which the mesh does not have" in scene.plane.program.log, "the other reason")
        assert scene.call("httpbin")[0] == 200
        assert envoy.is_running()
        assert scene.plane.metric("external_services_unusable") == 1


@pytest.mark.parametrize("trusted", [True, False])
def test_without_an_authority_in_the_resource_the_host_decides(mesh_lab: Lab, trusted: bool) -> None:
    servers, others = Pki.create("servers"), Pki.create("others")
    bundle = mesh_lab.folder / "trusted.pem"
    bundle.write_bytes(servers.ca if trusted else others.ca)
    scene = Scene(mesh_lab, "httpbin", KUMA_DATAPLANE_RUNTIME_DYNAMIC_SYSTEM_CA_PATH=str(bundle))
    with tls_server(mesh_lab.folder, servers, "localhost") as port:
        scene.plane.put(external("httpbin", f"localhost:{port}", tls={}))
        scene.web.ready()
        if trusted:
            assert scene.seen("httpbin")["sni"] == "localhost"
        else:
            scene.fails("httpbin", "error")
