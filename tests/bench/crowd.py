"""The processes of many delta xDS clients (`delta_clients.py`), and what they acknowledge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from line_process import LineProcess

from lab import ControlPlane

SCRIPT = "delta_clients.py"


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
        self._processes = [LineProcess(SCRIPT) for _ in range(processes)]
        for number, process in enumerate(self._processes):
            process.write({**spec, "dataplanes": dataplanes[number::processes]})

    def ready(self) -> None:
        """Wait until all are configured."""
        for process in self._processes:
            process.read()

    def until(self, marks: Mapping[str, int]) -> Reached:
        """Wait until all who call these services have acknowledged these marks."""
        for process in self._processes:
            process.write({"until": marks})
        at: dict[tuple[str, int], float] = {}
        responses = assignments = 0
        for process in self._processes:
            told = process.read()
            responses += told["responses"]
            assignments += told["assignments"]
            for service, mark, moment in told["reached"]:
                at[service, mark] = max(moment, at.get((service, mark), 0.0))
        return Reached(at, responses, assignments)

    def close(self) -> None:
        for process in self._processes:
            process.hang_up()
        for process in self._processes:
            process.wait()
