"""`kill -9` of kuma-cp under REST writes: what was acknowledged is there afterwards, all of it and whole."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import grpc
import pytest

from ads_client import AdsClient, node_metadata
from lab import ControlPlane, Lab, dataplane, eventually, http, lab, mesh
from long_form import scale
from rest_writers import KINDS, Writer

ROUNDS = scale(8, 100)
_MESH_PARTS = ("secrets", "traffic-permissions")


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as opened:
        yield opened


async def test_kill_9_under_writes_loses_no_acknowledged_write(started: Lab) -> None:
    plane, random = started.control_plane(), Random(20)
    writers = [
        Writer(plane.api_port, kind, f"{kind.type.lower()}-{number}", Random(f"{kind.type}/{number}"))
        for kind in KINDS
        for number in range(2)
    ]
    meshes = _MeshMaker(plane)
    for round_ in range(ROUNDS):
        proxy = f"proxy-{round_}"
        client = await _connected(plane, proxy)
        stop = threading.Event()
        goal = sum(writer.acknowledged for writer in writers) + random.randrange(20, 400)
        threads = [threading.Thread(target=each.run, args=(stop,)) for each in (*writers, meshes)]
        for thread in threads:
            thread.start()
        try:
            eventually(lambda goal=goal: sum(each.acknowledged for each in writers) >= goal, "enough writes")
            plane.kill()
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        await client.kill()
        _check_file(plane.work_dir / "kuma-cp.db")
        plane.start()
        for writer in writers:
            assert not writer.refused, writer.refused[:3]
            writer.settle(_present(plane, writer.kind.path))
        meshes.settle()
        assert proxy in _present(plane, "dataplanes"), "a proxy that was connected has lost its resource"
    acknowledged = sum(writer.acknowledged for writer in writers)
    print(f"\n{ROUNDS} rounds, {acknowledged} acknowledged writes, {meshes.made} meshes made")
    assert acknowledged > 20 * ROUNDS
    assert "Traceback" not in plane.program.log


class _MeshMaker:
    """Makes meshes with mTLS, each of which is several resources, and deletes them again."""

    def __init__(self, plane: ControlPlane) -> None:
        self._plane = plane
        self.made = 0
        self._wanted: dict[str, set[bool]] = {}

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            name = f"made-{self.made}"
            self.made += 1
            if not self._do("PUT", name, mesh(name)):
                return
            if self.made % 3 == 0 and not self._do("DELETE", name, None):
                return

    def _do(self, method: str, name: str, body: Any) -> bool:
        wanted, before = method == "PUT", self._wanted.get(name, {False})
        self._wanted[name] = {wanted, *before}
        status, _ = http(method, f"{self._plane.api}/meshes/{name}", body)
        if status in (200, 201):
            self._wanted[name] = {wanted}
        return status != 0

    def settle(self) -> None:
        present = {item["name"] for item in _items(self._plane, "/meshes")}
        parts: dict[str, set[str]] = {}
        for path in _MESH_PARTS:
            for item in _items(self._plane, f"/{path}"):
                parts.setdefault(item["mesh"], set()).add(item["name"])
        assert set(parts) <= present, "something is left of a mesh that is not there"
        for name, states in self._wanted.items():
            assert (name in present) in states
            if name in present:
                assert parts[name] >= {
                    f"dataplane-token-signing-key-{name}-1",
                    f"{name}.ca-builtin-cert-ca-1",
                    f"{name}.ca-builtin-key-ca-1",
                    f"allow-all-{name}",
                }, "half of a mesh"
            self._wanted[name] = {name in present}


async def _connected(plane: ControlPlane, name: str) -> AdsClient:
    """A proxy that has registered itself and has its configuration."""
    credentials = grpc.ssl_channel_credentials((plane.work_dir / "kuma-cp.crt").read_bytes())
    document = dataplane(name, "web", app_port=8080, inbound_port=8081)
    client = AdsClient(
        f"localhost:{plane.dp_port}",
        f"default.{name}",
        node_metadata(document),
        tokens=[plane.token(name)],
        credentials=credentials,
    )
    await client.ask_all()
    return client


def _check_file(path: Path) -> None:
    """As the killed process left it: with its write-ahead log."""
    database = sqlite3.connect(path)
    try:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        database.close()


def _present(plane: ControlPlane, path: str) -> dict[str, dict[str, Any]]:
    return {item["name"]: item for item in _items(plane, f"/meshes/default/{path}")}


def _items(plane: ControlPlane, path: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    while True:
        page = plane.get(f"{path}?size=1000&offset={len(items)}")
        items += page["items"]
        if page["next"] is None:
            return items
