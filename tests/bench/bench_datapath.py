"""Requests a second of our sidecar pair against a hand-written static Envoy pair, in one run."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import psutil
import static_pair
from bench_agent import agent_process, envoy_of
from probe import cpu_s, shown_ratios

from envoy_binary import envoy_path
from lab import Lab, Program, Sidecar, dataplane, eventually, free_port, http, lab, mesh

ROUNDS = 21
SECONDS = 2
"""Short and many: the machine's own drift is slower than a pair of rounds."""
CONNECTIONS = 32


def wrk(port: int, pids: list[int]) -> tuple[float, float]:
    """Requests a second, and CPU of these processes in microseconds a request; every answer must be a 200."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"]
    processes = [psutil.Process(pid) for pid in pids]
    before = cpu_s(processes)
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    used = cpu_s(processes) - before
    assert not re.search("Non-2xx|Socket errors", output), output
    rate = re.search(r"Requests/sec:\s+([\d.]+)", output)
    count = re.search(r"(\d+) requests in", output)
    assert rate, output
    assert count, output
    return float(rate.group(1)), used / int(count.group(1)) * 1e6


def envoy_pid(sidecar: Sidecar) -> int:
    found = envoy_of(agent_process(sidecar))
    assert found
    return found.pid


def envoy(lab: Lab, name: str, document: dict[str, object]) -> Program:
    path = static_pair.write(lab.folder / f"{name}.yaml", document)
    argv = [
        str(envoy_path()),
        "-c",
        str(path),
        "--concurrency",
        "1",
        "--disable-hot-restart",
        "-l",
        "warning",
    ]
    program = Program(name, argv, lab.folder, {})
    lab.adopt(program)
    return program


def run() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as started:
        app, server, client, port = (free_port() for _ in range(4))
        static_pair.write_identities(started.folder)
        envoy(started, "app", static_pair.app_bootstrap(app))
        static = [
            envoy(started, "server", static_pair.server_bootstrap(started.folder, server, app)),
            envoy(started, "client", static_pair.client_bootstrap(started.folder, client, server)),
        ]
        plane = started.control_plane()
        plane.put(mesh())
        one = ["--concurrency=1"]
        backend = dataplane("backend-1", "backend", app_port=app)
        web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
        ours = [started.sidecar(plane, document, arguments=one).ready() for document in (backend, web)]
        pairs = {
            "static": (client, [program.process.pid for program in static]),
            "ours": (port, [envoy_pid(sidecar) for sidecar in ours]),
        }
        for target, _ in pairs.values():
            eventually(lambda t=target: http("GET", f"http://127.0.0.1:{t}/")[0] == 200, "a first answer")
        rounds: dict[str, list[tuple[float, float]]] = {name: [] for name in pairs}
        for number in range(ROUNDS):
            # Alternate who goes first, so that drift of the machine hits both alike.
            for name in sorted(pairs, reverse=bool(number % 2)):
                rounds[name].append(wrk(*pairs[name]))
    return report(rounds["static"], rounds["ours"])


def report(static: list[tuple[float, float]], ours: list[tuple[float, float]]) -> list[tuple[str, str, str]]:
    """Medians of the rounds, and of the ratios round by round."""
    rates = [one / other for (one, _), (other, _) in zip(ours, static, strict=True)]
    costs = [other / one for (_, one), (_, other) in zip(ours, static, strict=True)]
    rows = []
    for name, pair in (("a static Envoy pair", static), ("our sidecar pair", ours)):
        rate, cost = (statistics.median(values) for values in zip(*pair, strict=True))
        rows.append((f"data path, {name}", f"{rate:,.0f} requests/s, {cost:.0f} us CPU each", ""))
    for name, ratios, goal in (("requests/s", rates, ">= 0.97"), ("requests per CPU", costs, ">= 0.97")):
        rows.append((f"data path, ours / static in {name}", shown_ratios(ratios), goal))
    return rows


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
