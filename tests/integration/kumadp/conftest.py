"""A fake control plane, and agents that are gone when the test is."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from fake_cp import FakeControlPlane, token
from lab import Program, free_port

FAKE_ENVOY = Path(__file__).parents[2] / "support" / "fake_envoy.py"


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[FakeControlPlane]:
    async with FakeControlPlane(tmp_path / "cp").running() as running:
        yield running


class StartAgent(Protocol):
    def __call__(self, *arguments: str, name: str = "agent", environ: dict[str, str] | None = None) -> Program:
        """`kuma-dp run` with these arguments alone."""


@pytest.fixture
def start_agent(tmp_path: Path) -> Iterator[StartAgent]:
    programs: list[Program] = []
    tmp = tmp_path / "tmp"
    tmp.mkdir()

    def start(*arguments: str, name: str = "agent", environ: dict[str, str] | None = None) -> Program:
        # HOME: no certificate of a control plane of this machine's user. TMPDIR: what is left there is seen.
        settled = {"HOME": str(tmp_path), "TMPDIR": str(tmp), **(environ or {})}
        program = Program(name, [sys.executable, "-m", "kumadp", "run", *arguments], tmp_path, settled)
        programs.append(program)
        return program

    yield start
    for program in programs:
        if program.running:
            program.process.send_signal(signal.SIGKILL)
        program.process.wait()
    assert list(tmp.glob("kuma-dp-*")) == [] or any(p.process.returncode == -signal.SIGKILL for p in programs)


@pytest.fixture
def resource(tmp_path: Path) -> Callable[..., Path]:
    """Writes a Dataplane and gives the file."""

    def write(name: str = "web-1", **networking: Any) -> Path:
        inbound = {"port": free_port(), "servicePort": 80, "tags": {"kuma.io/service": "web"}}
        document = {
            "type": "Dataplane",
            "mesh": "default",
            "name": name,
            "networking": {"address": "127.0.0.1", "inbound": [inbound], **networking},
        }
        path = tmp_path / f"{name}.yaml"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(token() + "\n")
    return path


@pytest.fixture
def children() -> Callable[[int], list[int]]:
    """Process ids of the children of a process."""

    def of(pid: int) -> list[int]:
        output = subprocess.run(
            ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
        ).stdout
        return [int(line) for line in output.split()]

    return of
