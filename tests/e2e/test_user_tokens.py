"""What a user token lets its user do, and every wrong one is told why it is none."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from kumamesh.tokens import generate_signing_key
from lab import ControlPlane, Lab, eventually, http
from pair import start_pair

SECRETS = "/meshes/default/secrets"
CONFIG_DUMP = "/meshes/default/dataplanes/web-1/xds"


def _user_token(plane: ControlPlane, name: str, *groups: str, valid_for: str = "1h") -> str:
    body = {"name": name, "groups": list(groups), "validFor": valid_for}
    status, token = http("POST", f"{plane.api}/tokens/user", body)
    assert status == 200, token
    return token.decode()


def _as(plane: ControlPlane, token: str, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """(status, document) of a request that shows the token."""
    status, answer = http(method, plane.api + path, body, {"authorization": f"Bearer {token}"})
    return status, json.loads(answer) if answer.startswith((b"{", b"[")) else answer.decode()


def _claims(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _forged(_: ControlPlane) -> str:
    now = int(time.time())
    claims = {"Name": "mesh-system:admin", "Groups": ["mesh-system:admin"], "jti": "x"}
    times = {"iat": now, "nbf": now, "exp": now + 3600}
    return jwt.encode({**claims, **times}, generate_signing_key(), "RS256", headers={"kid": "1"})


def _unsigned(plane: ControlPlane) -> str:
    claims = _claims(_user_token(plane, "eve", "mesh-system:admin"))
    return jwt.encode(claims, "", "none", headers={"kid": "1"})


def _expired(plane: ControlPlane) -> str:
    token = _user_token(plane, "eve", "mesh-system:admin", valid_for="1s")
    eventually(lambda: _claims(token)["exp"] < time.time(), "expiry")
    return token


def _revoked(plane: ControlPlane) -> str:
    token = _user_token(plane, "eve", "mesh-system:admin")
    data = base64.b64encode(_claims(token)["jti"].encode()).decode()
    plane.put({"type": "GlobalSecret", "name": "user-token-revocations", "data": data})
    return token


WRONG: dict[str, tuple[Callable[[ControlPlane], str], str]] = {
    "forged": (_forged, "could not parse token"),
    "unsigned": (_unsigned, "could not parse token"),
    "expired": (_expired, "expired"),
    "revoked": (_revoked, "token is revoked"),
    "of a data plane": (lambda plane: plane.token("web-1"), "could not parse token"),
    "no token at all": (lambda _: "admin", "could not parse token"),
}


@pytest.mark.promise("K02", part="user tokens")
def test_wrong_user_tokens_open_nothing_and_say_why(mesh_lab: Lab) -> None:
    plane = start_pair(mesh_lab).plane
    for case, (make, reason) in WRONG.items():
        token = make(plane)
        for path in (SECRETS, CONFIG_DUMP, "/meshes"):
            status, document = _as(plane, token, "GET", path)
            assert (status, document["title"]) == (401, "Invalid authentication data"), case
            assert reason in document["detail"], f"{case}: {document['detail']}"
            assert token not in json.dumps(document) or token == "admin", case
        status, _ = _as(plane, token, "PUT", "/meshes/stolen", {"type": "Mesh", "name": "stolen"})
        assert status == 401, case
        assert token not in plane.program.log or token == "admin", case
    assert plane.get("/meshes/stolen") is None


@pytest.mark.promise("K02", part="user tokens")
def test_a_user_reads_the_mesh_but_secrets_and_tokens_are_for_admins(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    plane = pair.plane
    order = {"name": "web-2", "mesh": "default", "validFor": "1h"}
    reader, admin = _user_token(plane, "rita", "readers"), _user_token(plane, "adam", "mesh-system:admin")
    assert _as(plane, reader, "GET", "/who-am-i")[1]["name"] == "rita"
    assert _as(plane, reader, "GET", "/meshes/default/dataplanes")[1]["total"] == 2
    assert _as(plane, reader, "GET", CONFIG_DUMP)[0] == 200
    for method, path, body in (("GET", SECRETS, None), ("POST", "/tokens/dataplane", order)):
        status, document = _as(plane, reader, method, path, body)
        assert (status, document["title"]) == (403, "Access Denied")
        assert "rita" in document["detail"]
        assert _as(plane, admin, method, path, body)[0] == 200
    assert pair.call()[0] == 200


@pytest.mark.promise("K02", part="user tokens")
def test_who_sees_configurations_can_be_chosen(mesh_lab: Lab) -> None:
    plane = start_pair(
        mesh_lab,
        KUMA_ACCESS_STATIC_VIEW_CONFIG_DUMP_GROUPS="operators",
        KUMA_ACCESS_STATIC_VIEW_CONFIG_DUMP_USERS="rita",
    ).plane
    for token, wanted in (
        (_user_token(plane, "rita"), 200),
        (_user_token(plane, "otto", "operators"), 200),
        (_user_token(plane, "eve", "readers"), 403),
    ):
        assert _as(plane, token, "GET", CONFIG_DUMP)[0] == wanted
