"""Stopping one of two backends under load: peers are told before listeners close, so no request fails."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, Sidecar, dataplane, eventually, free_port, http, lab, mesh
from load import Load


@pytest.fixture
def mesh_lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as started:
        yield started


def answers(port: int, count: int = 10) -> set[str]:
    """Which applications answer behind web's outbound listener."""
    bodies = (http("GET", f"http://127.0.0.1:{port}/")[1] for _ in range(count))
    return {json.loads(body)["name"] for body in bodies if body.startswith(b"{")}


def test_a_stopped_backend_fails_no_request(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.put(mesh())
    sidecars: dict[str, Sidecar] = {}
    for name in ("backend-1", "backend-2"):
        app_port = free_port()
        mesh_lab.app("http", name, app_port)
        sidecars[name] = mesh_lab.sidecar(plane, dataplane(name, "backend", app_port=app_port)).ready()
    port = free_port()
    mesh_lab.sidecar(
        plane, dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
    ).ready()
    eventually(lambda: answers(port) == {"backend-1", "backend-2"}, "both backends answering")
    with Load(port, threads=8, pause_s=0.002) as load:
        for stopped in range(3):
            load.wait_for(300)
            assert sidecars["backend-2"].program.end() == 0
            load.wait_for(300)
            assert answers(port) == {"backend-1"}
            sidecars["backend-2"].start()
            sidecars["backend-2"].ready()
            eventually(lambda: answers(port) == {"backend-1", "backend-2"}, f"return {stopped}")
    assert load.failures == {}
