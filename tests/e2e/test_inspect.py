"""What people can ask of a proxy through the control plane: its real Envoy and its configuration."""

from __future__ import annotations

import base64
import json
import socket
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from kumacp.identity.admin_ca import create_admin_ca, issue_admin_client
from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh
from pair import Pair, start_pair

PROXY = "/meshes/default/dataplanes"
ADMIN_HOST = "127.0.0.2"
"""For the mesh an address like that of any other host: only on 127.0.0.1 Envoy's own admin listens."""


@pytest.mark.promise("I05", part="REST /xds, /stats, /clusters")
def test_people_reach_the_envoy_of_a_proxy_through_the_control_plane(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    dump = pair.plane.get(f"{PROXY}/web-1/xds")
    assert f"outbound:127.0.0.1:{pair.port}" in _names(dump, "ListenersConfigDump", "dynamic_listeners")
    assert "backend" in _names(dump, "ClustersConfigDump", "dynamic_active_clusters", "cluster")
    assert not _messages(dump, "EndpointsConfigDump")
    with_endpoints = pair.plane.get(f"{PROXY}/web-1/xds?include_eds=true")
    assert _messages(with_endpoints, "EndpointsConfigDump")

    served = f"cluster.backend.upstream_rq_200: {pair.web.stat('cluster.backend.upstream_rq_200')}"
    assert served in _text(pair.plane, "web-1/stats").splitlines()
    assert int(served.rpartition(" ")[2]) > 0
    only = _text(pair.plane, "web-1/stats?filter=^cluster.backend.upstream_rq_200$&format=json")
    assert [one["name"] for one in json.loads(only)["stats"]] == ["cluster.backend.upstream_rq_200"]
    assert len(_text(pair.plane, "web-1/stats?usedonly=false")) > len(_text(pair.plane, "web-1/stats"))

    endpoint = f"backend::127.0.0.1:{pair.backend_inbound}::"
    assert endpoint in _text(pair.plane, "web-1/clusters")
    clusters = json.loads(_text(pair.plane, "web-1/clusters?format=json"))["cluster_statuses"]
    assert "backend" in [cluster["name"] for cluster in clusters]


def test_no_key_and_no_token_is_shown_to_those_who_inspect(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    token = pair.web.token_file.read_text()
    secret = pair.plane.get("/meshes/default/secrets/default.ca-builtin-key-ca-1")["data"]
    held = _envoy_secrets(pair.web)
    for path in ("xds?include_eds=true", "_config", "stats?usedonly=false", "clusters"):
        shown = _text(pair.plane, f"web-1/{path}")
        assert len(shown) > 500
        assert "PRIVATE KEY" not in shown
        for text in (token, token.rpartition(".")[2], *_lines(base64.b64decode(secret).decode()), *held):
            assert text not in shown, path
        for word in _words(shown):
            assert b"PRIVATE KEY" not in _decoded(word), path


def test_a_proxy_on_another_address_is_asked_with_mtls(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    document = dataplane("far-1", "far", app_port=free_port())
    document["networking"]["address"] = ADMIN_HOST
    proxy = mesh_lab.sidecar(plane, document).ready()
    listener = f"listener.{ADMIN_HOST}_{proxy.admin_port}"
    eventually(lambda: http("GET", _admin_url(proxy, "/ready")) == (200, b"READY"), "ready in plain text")
    assert http("GET", _admin_url(proxy, "/stats"))[0] == 404

    names = _names(plane.get(f"{PROXY}/far-1/xds"), "ListenersConfigDump", "dynamic_listeners")
    assert "kuma:envoy:admin" in names
    asked = proxy.stat(f"{listener}.ssl.handshake")
    assert asked > 0
    assert f"{listener}.ssl.handshake" in _text(plane, "far-1/stats")
    assert proxy.stat(f"{listener}.ssl.handshake") > asked

    assert proxy.stat(f"{listener}.ssl.fail_verify_error") == 0
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask_with_foreign_certificate(proxy, mesh_lab.folder)
    eventually(lambda: proxy.stat(f"{listener}.ssl.fail_verify_error") == 1, "the stranger to be refused")
    with pytest.raises((ssl.SSLError, ConnectionError)):
        _ask(proxy, None)
    eventually(lambda: proxy.stat(f"{listener}.ssl.fail_verify_no_cert") == 1, "who has none to be refused")


def test_the_configuration_is_shown_with_and_without_shadow_policies(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    inbound = f"inbound:127.0.0.1:{pair.backend_inbound}"
    listeners = "type.googleapis.com/envoy.config.listener.v3.Listener"
    before = pair.plane.get(f"{PROXY}/backend-1/_config")
    assert inbound in before["xds"][listeners]
    dumped = _names(pair.plane.get(f"{PROXY}/backend-1/xds"), "ListenersConfigDump", "dynamic_listeners")
    assert sorted(before["xds"][listeners]) == sorted(dumped)

    pair.plane.put(_denying("shadow"))
    eventually(lambda: _config(pair, "?shadow=true&include=diff")["diff"], "the policy to be known")
    assert _config(pair, "") == before
    assert _config(pair, "?include=diff")["diff"] == []
    changed = {step["path"].split("/")[2] for step in _config(pair, "?shadow=true&include=diff")["diff"]}
    assert changed == {inbound}
    assert pair.call()[0] == 200

    pair.plane.put(_denying("real"))
    eventually(lambda: pair.call()[0] == 403, "the policy to be obeyed")
    shadow = _config(pair, "?shadow=true")
    assert _config(pair, "") == shadow != before


def test_who_is_gone_cannot_be_asked(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh(mode=None))
    document = dataplane("web-1", "web", app_port=free_port())
    plane.put(document)
    status, body = http("GET", f"{plane.api}{PROXY}/web-1/stats")
    assert (status, json.loads(body)["title"]) == (503, "Service unavailable")
    assert "is not connected" in json.loads(body)["detail"]
    assert plane.get(f"{PROXY}/web-1/_config")["xds"]
    assert http("GET", f"{plane.api}{PROXY}/web-2/stats")[0] == 404


def _config(pair: Pair, query: str) -> Any:
    return pair.plane.get(f"{PROXY}/backend-1/_config{query}")


def _denying(effect: str) -> dict[str, Any]:
    return {
        "type": "MeshTrafficPermission",
        "mesh": "default",
        "name": "nobody",
        "labels": {"kuma.io/effect": effect},
        "spec": {
            "targetRef": {"kind": "MeshSubset", "tags": {"kuma.io/service": "backend"}},
            "from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Deny"}}],
        },
    }


def _text(plane: ControlPlane, path: str) -> str:
    status, body = http("GET", f"{plane.api}{PROXY}/{path}")
    assert status == 200, body
    return body.decode()


def _messages(dump: Any, type_: str) -> list[Any]:
    return [part for part in dump["configs"] if part["@type"].endswith(f".{type_}")]


def _names(dump: Any, type_: str, *path: str) -> list[str]:
    (message,) = _messages(dump, type_)
    items = message.get(path[0], [])
    return [item[path[1]]["name"] if path[1:] else item["name"] for item in items]


def _envoy_secrets(sidecar: Sidecar) -> list[str]:
    """Lines of what Envoy was sent as its secrets, as its own admin shows them."""
    (dump,) = _messages(json.loads(sidecar.admin("/config_dump")), "SecretsConfigDump")
    chains = [
        one["secret"]["tls_certificate"]["certificate_chain"]["inline_bytes"]
        for one in dump["dynamic_active_secrets"]
        if "tls_certificate" in one["secret"]
    ]
    assert chains
    return chains


def _lines(pem: str) -> list[str]:
    return [line for line in pem.splitlines() if line and not line.startswith("-----")]


def _words(text: str) -> list[str]:
    return [word for word in text.replace('"', " ").split() if len(word) > 60]


def _decoded(word: str) -> bytes:
    try:
        return base64.b64decode(word, validate=True)
    except ValueError:
        return b""


def _admin_url(proxy: Sidecar, path: str) -> str:
    return f"http://{ADMIN_HOST}:{proxy.admin_port}{path}"


def _ask_with_foreign_certificate(proxy: Sidecar, folder: Path) -> None:
    """As the control plane would, but with a certificate of another CA."""
    now = datetime.now(UTC)
    identity = issue_admin_client(create_admin_ca(now), now=now)
    path = folder / "stranger.pem"
    path.write_bytes(identity.certificate + identity.private_key)
    _ask(proxy, path)


def _ask(proxy: Sidecar, certificate: Path | None) -> None:
    """GET /stats without a look at the server's certificate; an error when that of the client is refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        context.load_cert_chain(certificate)
    with (
        socket.create_connection((ADMIN_HOST, proxy.admin_port), timeout=10) as sock,
        context.wrap_socket(sock) as tls,
    ):
        # With TLS 1.3 the client learns of the refusal when it reads.
        tls.sendall(b"GET /stats HTTP/1.1\r\nhost: admin\r\n\r\n")
        if not tls.recv(1):
            raise ConnectionError("closed without an answer")
