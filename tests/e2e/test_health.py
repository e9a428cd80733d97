"""Sick, stopping and returning instances, as their proxies find them and as their peers are told."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Mapping
from typing import Any

import pytest

from lab import ControlPlane, Lab, Program, Sidecar, dataplane, eventually, free_port, http, mesh
from load import Load

NAMES = ("backend-1", "backend-2")
QUICK = {
    "KUMA_DP_SERVER_HDS_INTERVAL": "200ms",
    "KUMA_DP_SERVER_HDS_REFRESH_INTERVAL": "200ms",
    "KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_NO_TRAFFIC_INTERVAL": "100ms",
}
"""For tests of what happens and not of how soon."""


class Backends:
    """`web` calls two instances of `backend`; `inbound` is added to the inbounds of the instances."""

    def __init__(
        self, lab: Lab, plane: ControlPlane, inbound: Mapping[str, Any], *, stored: bool = False
    ) -> None:
        self.plane, self._lab = plane, lab
        plane.put(mesh())
        self.app_ports = {name: free_port() for name in NAMES}
        self.apps = {name: self.start_app(name) for name in NAMES}
        self.documents = {name: self._document(name, inbound) for name in NAMES}
        if stored:
            for document in self.documents.values():
                plane.put(document)
        self.sidecars = {
            name: lab.sidecar(plane, document, arguments=["--drain-time=30s"])
            for name, document in self.documents.items()
        }
        self.port = free_port()
        web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": self.port})
        self.web = lab.sidecar(plane, web)
        for sidecar in (self.web, *self.sidecars.values()):
            sidecar.ready()
        eventually(lambda: self.answering() == set(NAMES), "answers of both")

    def _document(self, name: str, inbound: Mapping[str, Any]) -> dict[str, Any]:
        document = dataplane(name, "backend", app_port=self.app_ports[name])
        document["networking"]["inbound"][0].update(inbound)
        return document

    def start_app(self, name: str) -> Program:
        return self._lab.app("http", name, self.app_ports[name])

    def call(self) -> tuple[int, bytes]:
        return http("GET", f"http://127.0.0.1:{self.port}/")

    def answering(self) -> set[str]:
        """Which applications answer."""
        bodies = (self.call()[1] for _ in range(10))
        return {json.loads(body)["name"] for body in bodies if body.startswith(b"{")}

    def state(self, name: str) -> str:
        """Of the first inbound, as people are shown it."""
        overview = self.plane.get(f"/meshes/default/dataplanes/{name}/_overview")
        return str(overview["dataplane"]["networking"]["inbound"][0].get("state", "Ready"))

    def listed(self, name: str) -> bool:
        """Whether web's Envoy has the instance among the endpoints of backend."""
        port = self.documents[name]["networking"]["inbound"][0]["port"]
        return f"backend::127.0.0.1:{port}::".encode() in self.web.admin("/clusters")

    def status(self, name: str) -> str:
        """The line of `kumactl inspect dataplanes`."""
        lines = self.plane.kumactl("inspect", "dataplanes").splitlines()
        return next(line for line in lines if name in line)

    def wait_for(self, name: str, state: str) -> None:
        """In the store, and with web."""
        eventually(lambda: self.state(name) == state, f"{name} {state}")
        eventually(lambda: self.listed(name) is (state == "Ready"), f"web told that {name} is {state}")


def test_an_application_that_dies_gets_no_traffic_until_it_is_back(mesh_lab: Lab) -> None:
    second = {"port": free_port(), "servicePort": free_port(), "tags": {"kuma.io/service": "metrics"}}
    plane = mesh_lab.control_plane()
    backends = Backends(mesh_lab, plane, {"serviceProbe": {"interval": "250ms", "tcp": {}}})
    document = backends.documents["backend-1"]
    document["networking"]["inbound"].append(second)
    plane.put(document)
    backends.apps["backend-1"].end(signal.SIGKILL)
    backends.wait_for("backend-1", "NotReady")
    with Load(backends.port) as load:
        load.wait_for(200)
    assert not load.failures
    assert "Partially degraded" in backends.status("backend-1")
    assert "Online" in backends.status("backend-2")
    inbound = document["networking"]["inbound"][0]["port"]
    line = f"inbound 127.0.0.1:{inbound} of backend is NotReady: its workload at"
    assert plane.program.log.count(line) == 1

    backends.apps["backend-2"].end(signal.SIGKILL)
    backends.wait_for("backend-2", "NotReady")
    assert backends.call() == (503, b"no healthy upstream")
    assert "Offline" in backends.status("backend-2")

    for name in NAMES:
        backends.start_app(name)
        backends.wait_for(name, "Ready")
    with Load(backends.port) as load:
        eventually(lambda: backends.answering() == set(NAMES), "answers of both again")
        load.wait_for(200)
    assert not load.failures
    assert plane.metric("inbound_state_changes_total") == 6


def fail(sidecar: Sidecar, what: str) -> None:
    status, _ = http("POST", f"http://127.0.0.1:{sidecar.admin_port}/healthcheck/{what}")
    assert status == 200


@pytest.mark.parametrize("probe", [{}, {"serviceProbe": {"tcp": {}}}], ids=["no probe", "probe"])
def test_an_envoy_that_drains_gets_no_traffic_also_after_the_control_plane_restarted(
    mesh_lab: Lab, probe: Mapping[str, Any]
) -> None:
    plane = mesh_lab.control_plane(**QUICK)
    backends = Backends(mesh_lab, plane, probe)
    drained = backends.sidecars["backend-2"]
    with Load(backends.port) as load:
        fail(drained, "fail")
        backends.wait_for("backend-2", "NotReady")
        plane.kill()
        load.wait_for(50)
        plane.start()
        # Reports come again, and say what they said before.
        eventually(lambda: plane.metric("hds_reports_total") > 2, "reports")
        assert backends.state("backend-2") == "NotReady"
        fail(drained, "ok")
        backends.wait_for("backend-2", "Ready")
        fail(drained, "fail")
        backends.wait_for("backend-2", "NotReady")
        load.wait_for(50)
    assert not load.failures


def test_peers_are_told_of_a_stop_while_it_still_serves(mesh_lab: Lab) -> None:
    """Of a Dataplane that was stored beforehand, and so stays when its proxy goes."""
    plane = mesh_lab.control_plane()
    backends = Backends(mesh_lab, plane, {}, stored=True)
    stopping = backends.sidecars["backend-2"]
    port = backends.documents["backend-2"]["networking"]["inbound"][0]["port"]
    slow = Load(backends.port, path="/slow/0.3", threads=4)
    with Load(backends.port, threads=8, pause_s=0.002) as load, slow:
        load.wait_for(200)
        # Somebody who stays connected makes the drain last.
        with socket.create_connection(("127.0.0.1", port)):
            stopping.program.process.send_signal(signal.SIGTERM)
            backends.wait_for("backend-2", "NotReady")
            assert stopping.program.running
        # A second signal would cut the drain short.
        assert stopping.program.process.wait(60) == 0
        load.wait_for(200)
        assert backends.state("backend-2") == "NotReady"
        assert not backends.listed("backend-2")
        stopping.start()
        stopping.ready()
        backends.wait_for("backend-2", "Ready")
        eventually(lambda: backends.answering() == set(NAMES), "answers of both again")
        load.wait_for(200)
    assert (load.failures, slow.failures) == ({}, {})
    why = "is NotReady: its Envoy drains, or does not serve yet"
    assert plane.program.log.count(f"inbound 127.0.0.1:{port} of backend {why}") == 1


def test_switched_off_nothing_of_it_is_left(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane(KUMA_DP_SERVER_HDS_ENABLED="false")
    backends = Backends(mesh_lab, plane, {"serviceProbe": {"tcp": {}}})
    for name in NAMES:
        assert backends.state(name) == "Ready"
    for sidecar in (backends.web, *backends.sidecars.values()):
        assert "hds_config" not in json.loads(sidecar.admin("/config_dump"))["configs"][0]["bootstrap"]
        assert "StreamHealthCheck" not in sidecar.program.log
    backends.apps["backend-1"].end(signal.SIGKILL)
    assert backends.state("backend-1") == "Ready"
