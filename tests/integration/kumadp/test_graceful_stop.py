"""Stopping one of two backends under load: its peers are told before its listeners close."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, dataplane, eventually, free_port, http, lab, mesh
from load import Load

BOTH = {"backend-1", "backend-2"}


@pytest.fixture
def mesh_lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as started:
        yield started


def answering(port: int) -> set[str]:
    """Which applications answer behind web's outbound listener."""
    bodies = (http("GET", f"http://127.0.0.1:{port}/")[1] for _ in range(10))
    return {json.loads(body)["name"] for body in bodies if body.startswith(b"{")}


def test_a_stopped_backend_fails_no_request(mesh_lab: Lab) -> None:
    """Short requests at several hundred a second over kept connections, and long ones in flight."""
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    sidecars = {}
    for name in sorted(BOTH):
        app_port = free_port()
        mesh_lab.app("http", name, app_port)
        sidecars[name] = mesh_lab.sidecar(plane, dataplane(name, "backend", app_port=app_port)).ready()
    port = free_port()
    web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
    mesh_lab.sidecar(plane, web).ready()
    eventually(lambda: answering(port) == BOTH, "answers of both")
    slow = Load(port, path="/slow/0.4", threads=4)
    with Load(port, threads=8, pause_s=0.002) as load, slow:
        load.wait_for(500)
        slow.wait_for(4)
        assert sidecars["backend-2"].program.end() == 0
        load.wait_for(500)
        slow.wait_for(4)
        assert answering(port) == {"backend-1"}
    assert (load.failures, slow.failures) == ({}, {})
