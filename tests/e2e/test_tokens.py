"""Who may register: every wrong token is refused with its reason, also while connected."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from kumamesh.tokens import generate_signing_key
from lab import ControlPlane, Lab, dataplane, eventually, free_port, http, mesh

WITHIN_S = 1.0


def _forged(_: ControlPlane) -> str:
    now = int(time.time())
    claims = {"Name": "web-1", "Mesh": "default", "jti": "x", "iat": now, "nbf": now, "exp": now + 3600}
    return jwt.encode(claims, generate_signing_key(), "RS256", headers={"kid": "1"})


def _expired(plane: ControlPlane) -> str:
    token = plane.token("web-1", validFor="1s")
    eventually(lambda: jwt.decode(token, options={"verify_signature": False})["exp"] < time.time(), "expiry")
    return token


def _revoked(plane: ControlPlane) -> str:
    token = plane.token("web-1")
    _revoke(plane, token)
    return token


def _revoke(plane: ControlPlane, token: str) -> None:
    token_id = jwt.decode(token, options={"verify_signature": False})["jti"]
    data = base64.b64encode(token_id.encode()).decode()
    name = "dataplane-token-revocations-default"
    plane.put({"type": "Secret", "mesh": "default", "name": name, "data": data})


def _other_mesh(plane: ControlPlane) -> str:
    plane.put(mesh("other", mode=None))
    return plane.token("web-1", "other")


def _zone_token(plane: ControlPlane) -> str:
    status, token = http("POST", f"{plane.api}/tokens/zone", {"zone": "default", "scope": ["ingress"]})
    assert status == 200
    # Its kid exists among the keys of the mesh, too; the signature is another key's.
    return token.decode()


CASES: dict[str, tuple[Callable[[ControlPlane], str], str]] = {
    "expired": (_expired, "expired"),
    "revoked": (_revoked, "token is revoked"),
    "wrong mesh": (_other_mesh, "mesh"),
    "wrong name": (lambda plane: plane.token("somebody"), "is different than in token"),
    "wrong tag": (
        lambda plane: plane.token("", tags={"kuma.io/service": ["backend"]}),
        'contains tag "kuma.io/service" with value "web"',
    ),
    "wrong key": (_forged, "could not parse token"),
    "zone token": (_zone_token, "could not parse token"),
}


@pytest.mark.promise("K02", part="dataplane tokens")
def test_wrong_tokens_are_refused_with_their_reason(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    document = dataplane("web-1", "web", app_port=free_port())
    for case, (make, reason) in CASES.items():
        sidecar = mesh_lab.sidecar(plane, document, token=make(plane))
        code = sidecar.program.process.wait(30)
        last = sidecar.program.log.strip().splitlines()[-1]
        assert code != 0, case
        assert reason in last, f"{case}: {last}"
        assert "Traceback" not in sidecar.program.log, case
        assert plane.get("/meshes/default/dataplanes")["items"] == [], case
        sidecar.program.log_path.unlink()


@pytest.mark.promise("K02", part="dataplane tokens")
def test_no_token_is_refused_with_the_command_that_makes_one(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    sidecar = mesh_lab.sidecar(plane, dataplane("web-1", "web", app_port=free_port()), token="")
    assert sidecar.program.process.wait(30) != 0
    assert "token" in sidecar.program.log.strip().splitlines()[-1]
    assert plane.get("/meshes/default/dataplanes")["items"] == []


def _connected(lab: Lab, **claims: Any) -> tuple[ControlPlane, str]:
    plane = lab.control_plane()
    token = plane.token("web-1", **claims)
    lab.sidecar(plane, dataplane("web-1", "web", app_port=free_port()), token=token).ready()
    assert plane.get("/meshes/default/dataplanes/web-1")
    return plane, token


def test_revoked_while_connected_is_deregistered_within_a_second(mesh_lab: Lab) -> None:
    plane, token = _connected(mesh_lab)
    _revoke(plane, token)
    eventually(lambda: plane.get("/meshes/default/dataplanes/web-1") is None, "deregistration", WITHIN_S)
    log = mesh_lab.folder.joinpath("default-web-1.log")
    eventually(lambda: "token is revoked" in log.read_text(), "the reason in the agent's log")


def test_expired_while_connected_is_deregistered_within_a_second(mesh_lab: Lab) -> None:
    plane, token = _connected(mesh_lab, validFor="8s")
    expires = jwt.decode(token, options={"verify_signature": False})["exp"]
    eventually(lambda: time.time() > expires, "the expiry")
    eventually(lambda: plane.get("/meshes/default/dataplanes/web-1") is None, "deregistration", WITHIN_S)
    kuma_dp = json.dumps(mesh_lab.folder.joinpath("default-web-1.log").read_text())
    assert token not in kuma_dp
