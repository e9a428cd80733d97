"""Who may run the proxies at the edge of a zone: every wrong zone token is refused with its reason."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jwt
import pytest

from kumamesh.tokens import generate_signing_key
from lab import ControlPlane, Lab, eventually, free_port, http
from zones import zones

ZONE = "default"


def _zone_proxy(kind: str, name: str, port: int = 0) -> dict[str, Any]:
    networking = {"address": "127.0.0.1", "port": port or free_port(), "admin": {"port": free_port()}}
    if kind == "ZoneIngress":
        networking |= {"advertisedAddress": "127.0.0.1", "advertisedPort": networking["port"]}
    return {"type": kind, "name": name, "networking": networking}


def _token(plane: ControlPlane, zone: str = ZONE, *scope: str, valid_for: str = "1h") -> str:
    body = {"zone": zone, "scope": scope or ("ingress", "egress"), "validFor": valid_for}
    status, token = http("POST", f"{plane.api}/tokens/zone", body)
    assert status == 200, token
    return token.decode()


def _claims(token: str) -> Mapping[str, Any]:
    claims: Mapping[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims


def _expired(plane: ControlPlane) -> str:
    token = _token(plane, valid_for="1s")
    eventually(lambda: _claims(token)["exp"] < time.time(), "expiry")
    return token


def _revoke(plane: ControlPlane, token: str) -> str:
    data = base64.b64encode(_claims(token)["jti"].encode()).decode()
    plane.put({"type": "GlobalSecret", "name": "zone-token-revocations", "data": data})
    return token


def _forged(_: ControlPlane) -> str:
    now = int(time.time())
    claims = {"Zone": ZONE, "Scope": ["ingress"], "jti": "x", "iat": now, "nbf": now, "exp": now + 3600}
    return jwt.encode(claims, generate_signing_key(), "RS256", headers={"kid": "1"})


CASES: dict[str, tuple[Callable[[ControlPlane], str], str]] = {
    "wrong scope": (
        lambda plane: _token(plane, ZONE, "egress"),
        "token cannot be used to authenticate zone entity (ingress is out of token's scope: [egress])",
    ),
    "scope of a control plane": (
        lambda plane: _token(plane, ZONE, "cp"),
        "ingress is out of token's scope: [cp]",
    ),
    "wrong zone": (
        lambda plane: _token(plane, "elsewhere"),
        "zone from requestor: default is different than in token: elsewhere",
    ),
    "expired": (_expired, "expired"),
    "revoked": (lambda plane: _revoke(plane, _token(plane)), "token is revoked"),
    "wrong key": (_forged, "could not parse token"),
    "of a data plane": (lambda plane: plane.token("ingress-1"), "could not parse token"),
    "none": (lambda _: "", "token"),
}


@pytest.mark.promise("K02", part="zone tokens: zone and scope")
def test_wrong_tokens_are_refused_with_their_reason(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    document = _zone_proxy("ZoneIngress", "ingress-1")
    for case, (make, reason) in CASES.items():
        ingress = mesh_lab.sidecar(plane, document, token=make(plane), arguments=["--proxy-type=ingress"])
        code = ingress.program.process.wait(30)
        last = ingress.program.log.strip().splitlines()[-1]
        assert code != 0, case
        assert reason in last, f"{case}: {last}"
        assert "Traceback" not in ingress.program.log, case
        assert plane.get("/zoneingresses")["items"] == [], case
        ingress.program.log_path.unlink()


@pytest.mark.promise("C10", part="whole")
def test_a_token_for_one_kind_of_proxy_runs_only_that(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    egress = _zone_proxy("ZoneEgress", "egress-1")
    for_ingress, for_egress = _token(plane, ZONE, "ingress"), _token(plane, ZONE, "egress")
    refused = mesh_lab.sidecar(plane, egress, token=for_ingress, arguments=["--proxy-type=egress"])
    assert refused.program.process.wait(30) != 0
    assert "(egress is out of token's scope: [ingress])" in refused.program.log
    assert plane.get("/zoneegresses")["items"] == []
    ingress = _zone_proxy("ZoneIngress", "ingress-1")
    mesh_lab.sidecar(plane, ingress, token=for_ingress, arguments=["--proxy-type=ingress"]).ready()
    mesh_lab.sidecar(plane, egress, token=for_egress, arguments=["--proxy-type=egress"]).ready()
    assert [item["name"] for item in plane.get("/zoneegresses")["items"]] == ["egress-1"]


@pytest.mark.promise("K02", part="zone tokens: zone and scope")
@pytest.mark.promise("C09", part="whole")
def test_tokens_of_global_hold_in_the_zone_also_without_it_until_they_are_revoked(tmp_path: Path) -> None:
    """One token for both proxies, made by the command that people know."""
    with zones(tmp_path, "zone-1", "zone-2") as world:
        command = ("generate", "zone-token", "--scope", "egress", "--scope", "ingress", "--valid-for", "1h")
        token = world.kumactl(*command, "--zone=zone-1")
        assert (_claims(token)["Zone"], _claims(token)["Scope"]) == ("zone-1", ["egress", "ingress"])
        zone, other = world["zone-1"], world["zone-2"]
        world.top.kill()
        ingress = zone.run(_zone_proxy("ZoneIngress", "i"), token=token, arguments=["--proxy-type=ingress"])
        egress = zone.run(_zone_proxy("ZoneEgress", "e"), token=token, arguments=["--proxy-type=egress"])
        ingress.ready()
        egress.ready()
        stranger = other.run(_zone_proxy("ZoneIngress", "x"), token=token, arguments=["--proxy-type=ingress"])
        assert stranger.sidecar.program.process.wait(30) != 0
        reason = "zone from requestor: zone-2 is different than in token: zone-1"
        assert reason in stranger.sidecar.program.log
        world.top.start()
        _revoke(world.top, token)
        for proxy, path in ((ingress, "/zoneingresses/i"), (egress, "/zoneegresses/e")):
            eventually(lambda path=path: zone.get(path) is None, f"{path} is gone with its token")
            log = proxy.sidecar.program
            eventually(lambda log=log: "token is revoked" in log.log, "the reason in the agent's log")
