"""A transparent proxy with real redirection: what passes through, and what is closed."""

from __future__ import annotations

from typing import Any

import pytest

from lab import Lab, Sidecar, eventually, mesh
from network_namespace import FOREIGNER, WORKLOAD, ask, in_network, missing

HERE, ELSEWHERE = "198.51.100.1", "198.51.100.10"
"""The address of the data plane, and of a server that no resource knows."""
OUTBOUND, INBOUND = 15001, 15006
DECLARED, UNDECLARED = 8080, 8081

LACKING = missing()
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)


def _mesh(*, passthrough: bool, mode: str | None = None) -> dict[str, Any]:
    return {**mesh(mode=mode), "networking": {"outbound": {"passthrough": passthrough}}}


def _dataplane() -> dict[str, Any]:
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": "web-1",
        "networking": {
            "address": HERE,
            "admin": {"port": 9901},
            "inbound": [{"port": DECLARED, "tags": {"kuma.io/service": "web", "kuma.io/protocol": "tcp"}}],
            "transparentProxying": {
                "redirectPortInbound": INBOUND,
                "redirectPortOutbound": OUTBOUND,
                "ipFamilyMode": "IPv4",
            },
        },
    }


def _passed(sidecar: Sidecar, way: str) -> int:
    return sidecar.stat(f"cluster.{way}_passthrough_ipv4.upstream_cx_total")


def test_passthrough_is_a_switch_of_the_mesh(mesh_lab: Lab) -> None:
    def scenario() -> None:
        plane = mesh_lab.control_plane()
        plane.put(_mesh(passthrough=True))
        mesh_lab.app("tcp", "elsewhere", 7000, ELSEWHERE)
        sidecar = mesh_lab.sidecar(plane, _dataplane()).ready()
        eventually(
            lambda: ask(WORKLOAD, ELSEWHERE, 7000) == b"elsewhere hello\n", "an answer of a server outside"
        )
        assert _passed(sidecar, "outbound") > 0
        plane.put(_mesh(passthrough=False))
        eventually(lambda: ask(WORKLOAD, ELSEWHERE, 7000) == b"", "the way out closed")
        assert b"outbound:passthrough" not in sidecar.admin("/clusters")
        plane.put(_mesh(passthrough=True))
        eventually(lambda: ask(WORKLOAD, ELSEWHERE, 7000) == b"elsewhere hello\n", "the way out open again")

    in_network(scenario, f"{HERE}/32", f"{ELSEWHERE}/32", outbound=OUTBOUND, inbound=INBOUND)


def test_inbound_connections_find_their_listener_and_in_a_strict_mesh_nothing_else(mesh_lab: Lab) -> None:
    def scenario() -> None:
        plane = mesh_lab.control_plane()
        plane.put(_mesh(passthrough=True))
        mesh_lab.app("tcp", "declared", DECLARED, HERE)
        mesh_lab.app("tcp", "undeclared", UNDECLARED, HERE)
        sidecar = mesh_lab.sidecar(plane, _dataplane()).ready()
        inbound = f"listener.{HERE}_{DECLARED}.downstream_cx_total"
        eventually(lambda: ask(FOREIGNER, HERE, DECLARED) == b"declared hello\n", "an answer of the workload")
        assert sidecar.stat(inbound) > 0
        assert _passed(sidecar, "inbound") == 0
        assert ask(FOREIGNER, HERE, UNDECLARED) == b"undeclared hello\n"
        assert _passed(sidecar, "inbound") == 1
        plane.put(_mesh(passthrough=True, mode="STRICT"))
        eventually(lambda: ask(FOREIGNER, HERE, UNDECLARED) == b"", "the undeclared port closed")
        passed = _passed(sidecar, "inbound")
        # What comes back is an alert of TLS: the listener of the port takes nothing else.
        eventually(lambda: b"declared" not in ask(FOREIGNER, HERE, DECLARED), "plain text refused")
        assert _passed(sidecar, "inbound") == passed
        assert _passed(sidecar, "outbound") == 0

    in_network(scenario, f"{HERE}/32", f"{ELSEWHERE}/32", outbound=OUTBOUND, inbound=INBOUND)
