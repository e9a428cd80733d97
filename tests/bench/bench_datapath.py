"""Requests a second of our sidecar pair against a hand-written static Envoy pair, in one run."""

from __future__ import annotations

import re
import statistics
import subprocess
import tempfile
from pathlib import Path

import static_pair

from envoy_binary import envoy_path
from lab import Lab, Program, dataplane, eventually, free_port, http, lab, mesh

ROUNDS = 9
SECONDS = 4
CONNECTIONS = 32


def wrk(port: int) -> float:
    """Requests a second; every answer must be a 200."""
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", f"http://127.0.0.1:{port}/"]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert not {"Non-2xx", "Socket errors"} & set(re.findall("Non-2xx|Socket errors", output)), output
    match = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert match, output
    return float(match.group(1))


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
        envoy(started, "server", static_pair.server_bootstrap(started.folder, server, app))
        envoy(started, "client", static_pair.client_bootstrap(started.folder, client, server))
        plane = started.control_plane()
        plane.put(mesh())
        one = ["--concurrency=1"]
        started.sidecar(plane, dataplane("backend-1", "backend", app_port=app), arguments=one).ready()
        web = dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port})
        started.sidecar(plane, web, arguments=one).ready()
        pairs = {"static": client, "ours": port}
        for target in pairs.values():
            eventually(lambda t=target: http("GET", f"http://127.0.0.1:{t}/")[0] == 200, "a first answer")
        rates: dict[str, list[float]] = {name: [] for name in pairs}
        for number in range(ROUNDS):
            # Alternate who goes first, so that drift of the machine hits both alike.
            for name in sorted(pairs, reverse=bool(number % 2)):
                rates[name].append(wrk(pairs[name]))
    ratios = [ours / static for ours, static in zip(rates["ours"], rates["static"], strict=True)]
    ours, static = (statistics.median(rates[name]) for name in ("ours", "static"))
    ratio = statistics.median(ratios)
    return [
        ("data path, static Envoy pair", f"{static:,.0f} requests/s", "yardstick"),
        ("data path, our sidecar pair", f"{ours:,.0f} requests/s", ""),
        (
            "data path, ours / static",
            f"{ratio:.3f} (rounds {min(ratios):.3f} to {max(ratios):.3f})",
            ">= 0.97",
        ),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
