"""Everybody comes at once: after a restart of the control plane all proxies of a zone do."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

import flood_clients
from lab import ControlPlane, Lab, lab
from long_form import scale
from pressure import Prober, memory

STREAMS = scale(500, 3_000)
BOOTSTRAPS = scale(250, 3_000)
PROCESSES = 2


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as opened:
        yield opened


class _Crowd:
    """A process with a part of the clients."""

    def __init__(self, plane: ControlPlane, token: str, first: int, streams: int, bootstraps: int) -> None:
        ca = str(plane.work_dir / "kuma-cp.crt")
        numbers = [str(number) for number in (first, streams, bootstraps)]
        self._process = subprocess.Popen(
            [sys.executable, flood_clients.__file__, str(plane.dp_port), ca, token, *numbers],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._line() == "ready"

    def begin(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def figures(self) -> dict[str, Any]:
        return dict(json.loads(self._line()))

    def end(self) -> int:
        """How many streams were ended before."""
        out, _ = self._process.communicate()
        return int(json.loads(out)["ended"])

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


@contextmanager
def _crowds(plane: ControlPlane) -> Iterator[list[_Crowd]]:
    token, share = plane.token(), STREAMS // PROCESSES
    with ExitStack() as stack:
        crowds = []
        for number in range(PROCESSES):
            crowd = _Crowd(plane, token, number * share, share, BOOTSTRAPS // PROCESSES)
            stack.callback(crowd.close)
            crowds.append(crowd)
        yield crowds


def test_all_that_connect_at_once_are_served(started: Lab) -> None:
    plane = started.control_plane()
    with _crowds(plane) as crowds:
        for crowd in crowds:
            crowd.begin()
        with Prober(f"{plane.api}/meshes") as others:
            figures = [crowd.figures() for crowd in crowds]
        print(
            f"\n{STREAMS} streams and {BOOTSTRAPS} bootstraps at once: {figures}; {memory(plane)}; {others}"
        )
        assert not others.failures
        assert [each["failures"] for each in figures] == [{}] * PROCESSES
        assert sum(each["served"] for each in figures) == STREAMS
        assert sum(each["bootstrapped"] for each in figures) == BOOTSTRAPS
        assert plane.metric("xds_streams_active") == STREAMS
        assert sum(crowd.end() for crowd in crowds) == 0
    assert "Traceback" not in plane.program.log
