"""Delegated gateways: an application takes requests from outside, its sidecar takes them into the mesh."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lab import Lab, Program, Sidecar, eventually, free_port, http
from load import Load
from pair import Pair, start_pair

REVERSE_PROXY = Path(__file__).parents[1] / "support" / "reverse_proxy.py"
ALLOW_ALL = "/meshes/default/traffic-permissions/allow-all-default"


def edge(kind: str, **networking: Any) -> dict[str, Any]:
    """A gateway of the service `edge`."""
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": "edge-1",
        "networking": {
            "address": "127.0.0.1",
            "admin": {"port": free_port()},
            "gateway": {"type": kind, "tags": {"kuma.io/service": "edge"}},
            **networking,
        },
    }


class Gateway:
    """A reverse proxy for `backend`, and its sidecar. `port` is where it takes requests from outside."""

    def __init__(self, lab: Lab, pair: Pair) -> None:
        self.port, outbound = free_port(), free_port()
        argv = [sys.executable, str(REVERSE_PROXY), str(self.port), str(outbound)]
        lab.adopt(Program("reverse-proxy", argv, lab.folder, {}))
        document = edge("DELEGATED", outbound=[{"port": outbound, "tags": {"kuma.io/service": "backend"}}])
        self.sidecar: Sidecar = lab.sidecar(pair.plane, document).ready()
        eventually(lambda: self.call()[0] == 200, "a first request through the gateway")

    def call(self) -> tuple[int, dict[str, Any]]:
        """(status, what backend's application saw) of a request from outside."""
        status, body = http("GET", f"http://127.0.0.1:{self.port}/")
        return status, json.loads(body) if body.startswith(b"{") else {}


def _permission(*sources: str) -> dict[str, Any]:
    return {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": "to-backend",
        "sources": [{"match": {"kuma.io/service": source}} for source in sources],
        "destinations": [{"match": {"kuma.io/service": "backend"}}],
    }


@pytest.mark.promise("A18", part="a delegated gateway routes into the mesh")
def test_requests_from_outside_enter_the_mesh_with_the_identity_of_the_gateway(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, mode="STRICT")
    gateway = Gateway(mesh_lab, pair)
    _, seen = gateway.call()
    assert "URI=spiffe://default/edge" in seen["headers"]["x-forwarded-client-cert"]
    assert http("GET", f"http://127.0.0.1:{pair.backend_inbound}/")[0] == 0
    assert b"inbound:" not in gateway.sidecar.admin("/listeners")
    # Its service is a client like any other.
    pair.plane.put(_permission("web"))
    pair.plane.delete(ALLOW_ALL)
    eventually(lambda: gateway.call()[0] == 503, "the gateway is denied")
    assert pair.call()[0] == 200
    pair.plane.put(_permission("web", "edge"))
    eventually(lambda: gateway.call()[0] == 200, "the gateway is allowed")


@pytest.mark.promise("I03", part="sidecar and delegated gateway together")
def test_a_sidecar_and_a_gateway_call_the_same_service_side_by_side(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    gateway = Gateway(mesh_lab, pair)
    with Load(pair.port) as inside, Load(gateway.port) as outside:
        inside.wait_for(50)
        outside.wait_for(50)
    assert not inside.failures
    assert not outside.failures
    assert pair.identity() == "spiffe://default/web"

    def service() -> dict[str, Any]:
        items = pair.plane.get("/meshes/default/service-insights")["items"]
        return next((item for item in items if item["name"] == "edge"), {})

    eventually(lambda: service().get("issuedBackends") == {"ca-1": 1}, "the gateway's certificate")
    assert service()["serviceType"] == "gateway_delegated"
    assert service()["status"] == "online"
    counts = pair.plane.get("/mesh-insights/default")["dataplanesByType"]
    assert counts["standard"]["online"] == 2
    assert counts["gateway"]["online"] == counts["gatewayDelegated"]["online"] == 1
    listed = pair.plane.get("/meshes/default/dataplanes/_overview?gateway=delegated")["items"]
    assert [item["name"] for item in listed] == ["edge-1"]


def test_a_builtin_gateway_is_refused_with_a_reason(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    document = edge("BUILTIN")
    plane.put({"type": "Mesh", "name": "default"})
    status, body = http("PUT", f"{plane.api}/meshes/default/dataplanes/edge-1", document)
    assert status == 400
    assert b"BUILTIN is not served by this version" in body
    sidecar = mesh_lab.sidecar(plane, document)
    eventually(lambda: "BUILTIN is not served by this version" in sidecar.program.log, "the agent says so")
    assert plane.get("/meshes/default/dataplanes/edge-1") is None
