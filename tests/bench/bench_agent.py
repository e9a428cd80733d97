"""The agent alone: start to the first request, when Envoy is spawned, memory, shutdown."""

from __future__ import annotations

import signal
import statistics
import tempfile
import time
from pathlib import Path

import psutil
from probe import pss_mb, tree_memory_mb

from agent_runs import agents, name_server_of
from fake_cp import FakeControlPlane
from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, lab, mesh
from name_plane import NamePlane

ROUNDS = 9
NAMES = 1_000


def agent_process(sidecar: Sidecar) -> psutil.Process:
    return psutil.Process(sidecar.program.process.pid)


def envoy_of(agent: psutil.Process) -> psutil.Process | None:
    return next((child for child in agent.children() if "--config-path" in _arguments(child)), None)


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def one_start(started: Lab, plane: ControlPlane, number: int) -> dict[str, float]:
    """Seconds from the start of `kuma-dp run` to each milestone, and the shutdown without connections."""
    port = free_port()
    document = dataplane(f"web-{number}", "web", app_port=free_port(), outbounds={"backend": port})
    begin = time.monotonic()
    sidecar = started.sidecar(plane, document)
    agent = agent_process(sidecar)
    envoy = _poll(lambda: envoy_of(agent))
    spawned = time.monotonic() - begin
    _poll(lambda: http("GET", f"http://127.0.0.1:{port}/")[0] == 200)
    first = time.monotonic() - begin
    sidecar.ready()
    assert envoy.is_running()
    begin = time.monotonic()
    sidecar.program.end(signal.SIGTERM)
    return {"spawned": spawned, "first request": first, "shutdown": time.monotonic() - begin}


def memory_with_names() -> float:
    """PSS of an agent and of its name server's processes in MB, when both have taken over the names."""
    table = {
        f"service-{number}.mesh": [f"127.240.{number // 250}.{number % 250}", f"::ffff:7ff0:{number:x}"]
        for number in range(NAMES)
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        FakeControlPlane(Path(folder) / "cp").in_background() as plane,
        agents(Path(folder), plane) as started,
    ):
        names = NamePlane(plane, f"{folder}/dynconf.sock")
        names.first = [names.table(table)]
        agent = started.start("--envoy-log-level=error", "--bind-outbounds")
        agent.wait_until(lambda: ": ready " in agent.log, "READY")
        return pss_mb(agent.process.pid) + tree_memory_mb(name_server_of(agent).pid)


def _poll(condition):  # type: ignore[no-untyped-def]
    while not (value := condition()):
        time.sleep(0.002)
    return value


def run() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as started:
        plane = started.control_plane()
        plane.put(mesh())
        app = free_port()
        started.app("http", "backend", app)
        started.sidecar(plane, dataplane("backend-1", "backend", app_port=app)).ready()
        eventually(lambda: plane.get("/meshes/default/dataplanes/backend-1"), "registration")
        rounds = [one_start(started, plane, number) for number in range(ROUNDS)]
    memory = statistics.median(memory_with_names() for _ in range(3))

    def median(key: str) -> float:
        return statistics.median(item[key] for item in rounds)

    return [
        ("kuma-dp run -> Envoy spawned", f"{median('spawned') * 1000:.0f} ms", "<= 200 ms + bootstrap"),
        ("kuma-dp run -> first request", f"{median('first request') * 1000:.0f} ms", "<= 1000 ms"),
        (f"agent memory with {NAMES:,} names (PSS, without Envoy)", f"{memory:.1f} MB", "<= 70 MB"),
        ("shutdown, no open connections", f"{median('shutdown') * 1000:.0f} ms", "minimum drain + 200 ms"),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
