"""An endpoint changes: how long until every subscribed proxy has acknowledged, and what a proxy costs."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from lab import ControlPlane, dataplane, lab, mesh

CLIENTS = (1, 100, 1000)
ROUNDS = 30
SETTLE_S = 3.0
FLUSH_S = 15.0
"""Longer than the interval at which insights are written: what is idle starts after that."""
IDLE_S = 20.0
SCRIPT = Path(__file__).with_name("delta_clients.py")


def memory_mb(plane: ControlPlane) -> float:
    """PSS of the control plane and of its front."""
    root = psutil.Process(plane.program.process.pid)
    total = 0
    for process in [root, *root.children(recursive=True)]:
        text = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        total += int(next(line for line in text.splitlines() if line.startswith("Pss:")).split()[1])
    return total / 1024


def cpu_seconds(plane: ControlPlane) -> float:
    root = psutil.Process(plane.program.process.pid)
    times = [process.cpu_times() for process in [root, *root.children(recursive=True)]]
    return sum(item.user + item.system for item in times)


class Crowd:
    """The clients' process and the lines that go in and out of it."""

    def __init__(self, plane: ControlPlane, count: int) -> None:
        ca = str(plane.work_dir / "kuma-cp.crt")
        arguments = [f"localhost:{plane.dp_port}", ca, str(count), plane.token()]
        self.process = subprocess.Popen(
            [sys.executable, str(SCRIPT), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": str(SCRIPT.parent.parent / "support")},
        )

    def read(self) -> dict[str, float]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the clients' process has ended"
        return json.loads(line)

    def measure(self, plane: ControlPlane, document: dict[str, object]) -> float:
        """Seconds from before the REST write to the last acknowledgement."""
        assert self.process.stdin
        self.process.stdin.write('{"expect": true}\n')
        self.process.stdin.flush()
        self.read()
        begin = time.monotonic()
        plane.put(document)
        return self.read()["last_ack"] - begin

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(60)


def percentile(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, round(share * len(values)))]


def one_size(count: int) -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as started:
        plane = started.control_plane()
        plane.put(mesh())
        backend = dataplane("backend-1", "backend", app_port=9090)
        plane.put(backend)
        time.sleep(SETTLE_S)
        before = memory_mb(plane)
        begin = time.monotonic()
        crowd = Crowd(plane, count)
        crowd.read()
        connected = time.monotonic() - begin
        times = []
        for number in range(ROUNDS):
            backend["networking"]["inbound"][0]["port"] = 10_000 + number
            times.append(crowd.measure(plane, backend))
        time.sleep(FLUSH_S)
        each = (memory_mb(plane) - before) / count
        cpu = cpu_seconds(plane)
        time.sleep(IDLE_S)
        idle = (cpu_seconds(plane) - cpu) / IDLE_S * 100
        crowd.close()
    goal = {1: "p99 <= 50 ms", 1000: "p99 <= 1 s"}.get(count, "")
    p50, p99 = statistics.median(times), percentile(times, 0.99)
    rows = [(f"endpoint change -> ACK of {count}", f"p50 {p50 * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms", goal)]
    if count > 1:
        rows.append((f"{count} proxies connect and are configured", f"{connected:.1f} s", ""))
    if count == max(CLIENTS):
        rows.append((f"control plane, memory per proxy at {count}", f"{each:.2f} MB", "<= 0.5 MB"))
        rows.append((f"control plane, idle CPU at {count}", f"{idle:.1f} % of a core", "< 2 %"))
    return rows


def run() -> list[tuple[str, str, str]]:
    return [row for count in CLIENTS for row in one_size(count)]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
