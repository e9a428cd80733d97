"""Resources that are too much: refused soon and in short, and everybody else is served meanwhile."""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lab import ControlPlane, lab
from pressure import Prober, processes

MANY = 30_000
_PATH = "/meshes/default/dataplanes/a"


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    with lab(tmp_path_factory.mktemp("bombs")) as started:
        yield started.control_plane()


def _dataplane(**networking: Any) -> dict[str, Any]:
    inbound = {"port": 8080, "tags": {"kuma.io/service": "web"}}
    fields = {"address": "127.0.0.1", "inbound": [inbound], **networking}
    return {"type": "Dataplane", "mesh": "default", "name": "a", "networking": fields}


def _inbound(**fields: Any) -> dict[str, Any]:
    return {"port": 8080, "tags": {"kuma.io/service": "web"}, **fields}


def _json(document: Any) -> bytes:
    return json.dumps(document).encode()


_REFUSED: dict[str, Callable[[], bytes]] = {
    "10 MiB of brackets": lambda: b'{"a":' + b"[" * (10 * 2**20 - 10),
    "10 MiB of braces": lambda: b'{"a":' * (2 * 2**20 - 2),
    "deep, and closed again": lambda: b'{"networking":' + b"[" * 900 + b"]" * 900 + b"}",
    "more than 10 MiB": lambda: b" " * (10 * 2**20 + 1),
    "a number of a million digits": lambda: b'{"networking":' + b"9" * 1_000_000 + b"}",
    "unknown fields": lambda: _json(_dataplane(**{f"field{number}": 1 for number in range(MANY)})),
    "inbounds of the wrong type": lambda: _json(_dataplane(inbound=[_inbound(port="x")] * MANY)),
    "outbounds with unknown fields": lambda: _json(_dataplane(outbound=[{"prt": 1}] * MANY)),
    "tags of the wrong type": lambda: _json(_dataplane(inbound=[_inbound(tags={"": "", "a": 1})] * MANY)),
    "labels of the wrong type": lambda: _json(
        {**_dataplane(), "labels": {str(each): 1 for each in range(MANY)}}
    ),
    "a type of a megabyte": lambda: _json({**_dataplane(), "type": "x" * 2**20}),
    "half characters": lambda: _json(_dataplane(address="\ud800" * 1_000)),
    "not a number": lambda: b'{"type":"Dataplane","mesh":"default","name":"a","networking":{"address":NaN}}',
}


@pytest.mark.parametrize("bomb", _REFUSED)
def test_what_is_too_much_is_refused_in_short(plane: ControlPlane, bomb: str) -> None:
    body = _REFUSED[bomb]()
    with Prober(f"{plane.api}/meshes") as others:
        status, answer = _put(plane, body)
    print(f"{bomb}: {len(body)} bytes, {status}, {len(answer)} bytes; {others}")
    assert status in (400, 413)
    assert len(answer) < 2 * len("x" * 2**20) + 200_000
    assert json.loads(answer)["status"] == status
    assert not others.failures
    assert plane.get(_PATH) is None
    assert "Traceback" not in plane.program.log


_LARGE: dict[str, Callable[[], dict[str, Any]]] = {
    "100,000 tags": lambda: _dataplane(
        inbound=[
            _inbound(tags={"kuma.io/service": "web", **{f"tag-{number}": "v" for number in range(100_000)}})
        ]
    ),
    "10,000 outbounds": lambda: _dataplane(
        outbound=[
            {
                "address": f"127.0.{number >> 8}.{number & 255}",
                "port": 80,
                "tags": {"kuma.io/service": f"s-{number}"},
            }
            for number in range(10_000)
        ]
    ),
    "10,000 inbounds": lambda: _dataplane(
        inbound=[_inbound(port=10_000 + number) for number in range(10_000)]
    ),
}


@pytest.mark.parametrize("size", _LARGE)
def test_what_is_large_is_stored_while_others_are_served(plane: ControlPlane, size: str) -> None:
    body = _json(_LARGE[size]())
    with Prober(f"{plane.api}/meshes") as others:
        status, answer = _put(plane, body)
        assert status == 201, answer[:300]
        stored = plane.get(_PATH)
        plane.delete(_PATH)
    resident = sum(process.memory_info().rss for process in processes(plane)) >> 20
    print(f"{size}: {len(body)} bytes, {status}; {others}; {resident} MiB")
    assert len(json.dumps(stored["networking"])) >= len(json.dumps(_LARGE[size]()["networking"])) // 2
    assert not others.failures


def test_anchors_that_stand_for_gigabytes_are_refused_by_kumactl(plane: ControlPlane, tmp_path: Path) -> None:
    levels = [f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * 10)}]" for level in range(1, 12)]
    file = tmp_path / "bomb.yaml"
    file.write_text("\n".join(["a0: &a0 [x, x]", *levels]))
    for text in (file.read_text(), "a: &a\n  b: *a\n", "[" * 100_000, "a: " + "[" * 5_000):
        file.write_text(text)
        outcome = subprocess.run(
            [sys.executable, "-m", "kumactl", "apply", "-f", str(file)],
            env={"HOME": str(tmp_path), "PATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        assert outcome.returncode != 0
        assert outcome.stderr.startswith("Error: "), outcome.stderr[:500]
        assert len(outcome.stderr.splitlines()) == 1
        assert len(outcome.stderr) < 500


def _put(plane: ControlPlane, body: bytes) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", plane.api_port, timeout=120)
    try:
        connection.request("PUT", _PATH, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
