"""The processes of many delta xDS clients (`delta_clients.py`), and what they acknowledge."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import ControlPlane

SCRIPT = Path(__file__).with_name("delta_clients.py")


@dataclass(frozen=True, slots=True)
class Reached:
    """When (monotonic clock) the last client acknowledged which mark of which service; `responses` are those
    with assignments, `assignments` what was in them."""

    at: Mapping[tuple[str, int], float]
    responses: int
    assignments: int


class Crowd:
    """One connected proxy for each of the Dataplanes; `close` ends them."""

    def __init__(
        self, plane: ControlPlane, dataplanes: Sequence[Mapping[str, Any]], processes: int = 1
    ) -> None:
        spec = {
            "target": f"localhost:{plane.dp_port}",
            "ca": str(plane.work_dir / "kuma-cp.crt"),
            "token": plane.token(),
        }
        self._processes = [_start() for _ in range(processes)]
        for number, process in enumerate(self._processes):
            _write(process, {**spec, "dataplanes": dataplanes[number::processes]})

    def ready(self) -> None:
        """Wait until all are configured."""
        for process in self._processes:
            _read(process)

    def until(self, marks: Mapping[str, int]) -> Reached:
        """Wait until all who call these services have acknowledged these marks."""
        for process in self._processes:
            _write(process, {"until": marks})
        at: dict[tuple[str, int], float] = {}
        responses = assignments = 0
        for process in self._processes:
            told = _read(process)
            responses += told["responses"]
            assignments += told["assignments"]
            for service, mark, moment in told["reached"]:
                at[service, mark] = max(moment, at.get((service, mark), 0.0))
        return Reached(at, responses, assignments)

    def close(self) -> None:
        for process in self._processes:
            assert process.stdin
            process.stdin.close()
        for process in self._processes:
            process.wait(60)


def _start() -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SCRIPT)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _write(process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _read(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    line = process.stdout.readline()
    assert line, "a process of clients has ended"
    return json.loads(line)
