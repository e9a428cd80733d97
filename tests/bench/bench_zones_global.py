"""Ten thousand Dataplanes of ten zones in one global control plane: how it takes them in, and what it costs then."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet import Rest
from probe import Row, plane_cpu_s, plane_memory_mb, shown_ms

from lab import ControlPlane
from tcp_relay import TcpRelay
from zones import zones

ZONES = [f"zone-{number}" for number in range(1, 11)]
PROCESSES = 2
"""Of zones."""
LARGE, SMALL = 1000, 100
"""Dataplanes of one zone."""
CHANGES = 200
CHANGES_S = 20.0
REJOINS = 5
READS = 20
SETTLE_S = 5.0
SCRIPT = Path(__file__).with_name("zone_crowd.py")


class ZoneCrowd:
    """The processes of the zones; the first zone comes over a relay."""

    def __init__(self, port: int, way: TcpRelay, dataplanes: int) -> None:
        ports = {zone: port for zone in ZONES} | {ZONES[0]: way.port}
        self._processes = [
            subprocess.Popen(
                [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for _ in range(PROCESSES)
        ]
        self._home = {zone: self._processes[number % PROCESSES] for number, zone in enumerate(ZONES)}
        for process in self._processes:
            mine = {zone: ports[zone] for zone in ZONES if self._home[zone] is process}
            _write(process, {"ports": mine, "dataplanes": dataplanes})
        for process in self._processes:
            _read(process)

    def join(self) -> float:
        """All zones; seconds until global has acknowledged all that they have."""
        begin = time.monotonic()
        for process in self._processes:
            _write(process, {"do": "join"})
        for process in self._processes:
            _read(process)
        return time.monotonic() - begin

    def rejoin(self, zone: str) -> float:
        return self._one(zone, do="join")

    def change(self, zone: str, number: int) -> float:
        return self._one(zone, do="change", number=number)

    def _one(self, zone: str, **command: Any) -> float:
        _write(self._home[zone], {**command, "zone": zone})
        return float(_read(self._home[zone])["took"])

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()


def _write(process: subprocess.Popen[str], message: Mapping[str, Any]) -> None:
    assert process.stdin
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()


def _read(process: subprocess.Popen[str]) -> Any:
    assert process.stdout
    line = process.stdout.readline()
    assert line, "a process of zones has ended"
    return json.loads(line)


@contextmanager
def scene(dataplanes: int) -> Iterator[tuple[ControlPlane, ZoneCrowd, TcpRelay]]:
    with tempfile.TemporaryDirectory() as folder, zones(Path(folder)) as world:
        _, way = world.layout.way("", "global", world.kds_port)
        assert way
        crowd = ZoneCrowd(world.kds_port, way, dataplanes)
        try:
            yield world.top, crowd, way
        finally:
            crowd.close()


def one_by_one(top: ControlPlane, crowd: ZoneCrowd, dataplanes: int) -> tuple[list[float], float]:
    """Seconds of each change, and CPU of global for each."""
    cpu, over = plane_cpu_s(top), time.monotonic() + CHANGES_S
    times: list[float] = []
    while len(times) < CHANGES and (not times or time.monotonic() < over):
        zone = ZONES[len(times) % len(ZONES)]
        times.append(crowd.change(zone, len(times) * 7 % dataplanes))
    return times, (plane_cpu_s(top) - cpu) / len(times)


def run() -> list[Row]:
    rows: list[Row] = []
    for dataplanes in (SMALL, LARGE):
        with scene(dataplanes) as (top, crowd, way):
            rest = Rest(top)
            empty, cpu = plane_memory_mb(top), plane_cpu_s(top)
            joined = crowd.join()
            joined_cpu = plane_cpu_s(top) - cpu
            total = json.loads(rest.get("/dataplanes?size=1"))["total"]
            assert total == len(ZONES) * dataplanes, total
            time.sleep(SETTLE_S)
            full = plane_memory_mb(top)
            times, cpu_each = one_by_one(top, crowd, dataplanes)
            name = f"global, {total:,} Dataplanes"
            rows += [
                (f"{name} from {len(ZONES)} zones -> all stored", f"{joined:.1f} s, {joined_cpu:.1f} s CPU", ""),
                (f"{name}, memory", f"{full:.0f} MB, {(full - empty) / total * 1024:.1f} KB each", ""),
                (f"{name}, a change -> stored", f"{shown_ms(times)}, {cpu_each * 1000:.1f} ms CPU", ""),
            ]
            received = way.received
            cpu = plane_cpu_s(top)
            rejoined = [crowd.rejoin(ZONES[0]) for _ in range(REJOINS)]
            cpu = (plane_cpu_s(top) - cpu) / REJOINS
            received = (way.received - received) / REJOINS
            rows.append((f"{name}, a zone of {dataplanes} comes back", f"{shown_ms(rejoined)}, {received/1024:.0f} KB, {cpu*1000:.0f} ms CPU", ""))
            for path in ("/dataplanes?size=100", "/dataplanes?size=1000", "/dataplanes/_overview?size=1000", "/meshes/default/service-insights", "/mesh-insights", "/zones/_overview"):
                spent = []
                for _ in range(READS):
                    begin = time.monotonic()
                    rest.get(path)
                    spent.append(time.monotonic() - begin)
                rows.append((f"{name}, GET {path}", shown_ms(spent), ""))
    return rows


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
