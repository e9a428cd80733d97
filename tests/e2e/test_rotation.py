"""Keys and certificates that are replaced while proxies and people use them."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import jwt

from kumacp.identity.server_cert import create_server_certificate
from lab import ControlPlane, Lab, dataplane, eventually, free_port, http, mesh
from load import Load
from pair import start_pair


def _signing_key() -> str:
    """As `kumactl` makes it for the `data` of a secret."""
    made = subprocess.run(
        [sys.executable, "-m", "kumactl", "generate", "signing-key"],
        capture_output=True,
        check=True,
        text=True,
    )
    return made.stdout.strip()


def _kid(token: str) -> str:
    return str(jwt.get_unverified_header(token)["kid"])


def _online(plane: ControlPlane) -> set[str]:
    items = plane.get("/meshes/default/dataplanes/_overview")["items"]
    subscriptions = {
        item["name"]: item.get("dataplaneInsight", {}).get("subscriptions", ()) for item in items
    }
    return {name for name, each in subscriptions.items() if any("disconnectTime" not in one for one in each)}


def test_the_signing_key_of_a_mesh_is_rotated_without_a_failed_request(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    plane = pair.plane
    third = mesh_lab.sidecar(plane, dataplane("third", "third", app_port=free_port())).ready()
    everybody = {"web-1", "backend-1", "third"}
    with Load(pair.port) as load:
        load.wait_for(50)
        name = "dataplane-token-signing-key-default"
        plane.put({"type": "Secret", "mesh": "default", "name": f"{name}-2", "data": _signing_key()})
        for sidecar in (pair.web, pair.backend):
            assert _kid(sidecar.token_file.read_text()) == "1"
            sidecar.token_file.write_text(plane.token(sidecar.name))
            assert _kid(sidecar.token_file.read_text()) == "2"
        # A token of the old key opens until the key is gone, also for a proxy that comes back.
        assert _online(plane) == everybody
        assert third.program.end() == 0
        third.start()
        third.ready()
        load.wait_for(50)
        plane.delete(f"/meshes/default/secrets/{name}-1")
        third.program.wait_until(
            lambda: "there is no signing key with KID 1" in third.program.log, "the reason"
        )
        eventually(lambda: _online(plane) == {"web-1", "backend-1"}, "those with new tokens, and nobody else")
        load.wait_for(50)
        third.token_file.write_text(plane.token("third"))
        eventually(lambda: _online(plane) == everybody, "the last one with its new token", 90.0)
    assert not load.failures
    for sidecar in (pair.web, pair.backend, third):
        assert sidecar.token_file.read_text() not in sidecar.program.log + plane.program.log


def test_a_proxy_that_starts_with_a_token_of_a_deleted_key_ends_with_the_reason(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    old = plane.token("web-1")
    name = "dataplane-token-signing-key-default"
    plane.put({"type": "Secret", "mesh": "default", "name": f"{name}-2", "data": _signing_key()})
    plane.delete(f"/meshes/default/secrets/{name}-1")
    web = mesh_lab.sidecar(plane, dataplane("web-1", "web", app_port=free_port()), token=old)
    assert web.program.process.wait(30) == 1
    last = web.program.log.strip().splitlines()[-1]
    assert "there is no signing key with KID 1" in last
    assert "generate a new token" in last
    assert old not in web.program.log


def test_the_key_of_user_tokens_is_rotated_and_single_tokens_are_revoked(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    first, second = _user_token(plane, "ann"), _user_token(plane, "bob")
    assert {_who(plane, first), _who(plane, second)} == {"ann", "bob"}
    key = {"type": "GlobalSecret", "name": "user-token-signing-key-2", "data": _signing_key()}
    plane.put(key)
    third = _user_token(plane, "cat")
    assert (_kid(first), _kid(third)) == ("1", "2")
    assert (_who(plane, first), _who(plane, third)) == ("ann", "cat")
    revoked = jwt.decode(second, options={"verify_signature": False})["jti"]
    data = base64.b64encode(revoked.encode()).decode()
    plane.put({"type": "GlobalSecret", "name": "user-token-revocations", "data": data})
    assert "token is revoked" in _who(plane, second)
    plane.delete("/global-secrets/user-token-signing-key-1")
    assert "there is no signing key with KID 1" in _who(plane, first)
    assert _who(plane, third) == "cat"


def _user_token(plane: ControlPlane, name: str) -> str:
    status, token = http("POST", f"{plane.api}/tokens/user", {"name": name, "validFor": "1h"})
    assert status == 200
    return token.decode()


def _who(plane: ControlPlane, token: str) -> str:
    """Who the control plane takes its bearer for, or why for nobody."""
    status, body = http("GET", f"{plane.api}/who-am-i", headers={"authorization": f"Bearer {token}"})
    assert token.encode() not in body
    document = json.loads(body)
    return str(document["name"] if status == 200 else document["detail"])


def test_the_server_certificate_is_replaced_while_proxies_are_connected(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    certificate, key = (pair.plane.work_dir / f"kuma-cp.{kind}" for kind in ("crt", "key"))
    streams = pair.plane.metric("xds_streams_active")
    with Load(pair.port) as load:
        load.wait_for(50)
        second = _write(certificate, key)
        for alpn in ("http/1.1", "h2"):
            eventually(lambda alpn=alpn: _shown(pair.plane, alpn) == second, f"the new certificate ({alpn})")
        assert pair.plane.metric("xds_streams_active") == streams
        third = mesh_lab.sidecar(pair.plane, dataplane("third", "third", app_port=free_port()))
        third.ready()
        load.wait_for(50)
    assert not load.failures


def _write(certificate: Path, key: Path) -> bytes:
    """A new pair in place of the old; the certificate."""
    certificate_pem, key_pem = create_server_certificate("localhost", ["127.0.0.1", "::1"], datetime.now(UTC))
    for path, pem in ((key, key_pem), (certificate, certificate_pem)):
        fresh = path.with_suffix(".new")
        fresh.write_bytes(pem)
        fresh.replace(path)
    return certificate_pem


def _shown(plane: ControlPlane, alpn: str) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols([alpn])
    with (
        socket.create_connection(("127.0.0.1", plane.dp_port)) as plain,
        context.wrap_socket(plain) as secure,
    ):
        shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        return ssl.DER_cert_to_PEM_cert(shown).encode()


def test_the_authority_of_a_mesh_cannot_be_deleted_while_it_is_in_use(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    names = ("default.ca-builtin-cert-ca-1", "default.ca-builtin-key-ca-1")
    for name in names:
        status, body = http("DELETE", f"{plane.api}/meshes/default/secrets/{name}")
        assert status == 400
        assert (
            f'"{name}" that you are trying to remove is currently in use'
            in json.loads(body)["invalid_parameters"][0]["reason"]
        )
        assert plane.get(f"/meshes/default/secrets/{name}")
    plane.put(mesh(mode=None))
    for name in names:
        plane.delete(f"/meshes/default/secrets/{name}")
