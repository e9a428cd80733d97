"""Ten thousand Dataplanes of ten zones in one global control plane: how it takes them in, and their cost."""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fleet import Rest
from line_process import LineProcess
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
CHANGES_S = 15.0
REJOINS = 5
READS = 20
SETTLE_S = 5.0
PAGES = 10


class ZoneCrowd:
    """The processes of the zones; the first zone comes over a relay."""

    def __init__(self, port: int, way: TcpRelay, dataplanes: int) -> None:
        ports = dict.fromkeys(ZONES, port) | {ZONES[0]: way.port}
        self._processes = [LineProcess("zone_crowd.py") for _ in range(PROCESSES)]
        self._home = {zone: self._processes[number % PROCESSES] for number, zone in enumerate(ZONES)}
        for process in self._processes:
            mine = {zone: ports[zone] for zone in ZONES if self._home[zone] is process}
            process.write({"ports": mine, "dataplanes": dataplanes})
        for process in self._processes:
            process.read()

    def join(self) -> float:
        """All zones; seconds until global has acknowledged all that they have."""
        begin = time.monotonic()
        with self._all("join"):
            pass
        return time.monotonic() - begin

    @contextmanager
    def coming_back(self) -> Iterator[None]:
        """Global ends and begins in here; left when it has acknowledged again all that the zones have."""
        with self._all("wait"):
            yield

    def rejoin(self, zone: str) -> float:
        return self._one(zone, do="join")

    def change(self, zone: str, number: int) -> float:
        return self._one(zone, do="change", number=number)

    @contextmanager
    def _all(self, do: str) -> Iterator[None]:
        for process in self._processes:
            process.write({"do": do})
        yield
        for process in self._processes:
            process.read()

    def _one(self, zone: str, **command: Any) -> float:
        home = self._home[zone]
        home.write({**command, "zone": zone})
        return float(home.read()["took"])

    def close(self) -> None:
        for process in self._processes:
            process.hang_up()
        for process in self._processes:
            process.wait()


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


def coming_back(top: ControlPlane, crowd: ZoneCrowd, way: TcpRelay) -> str:
    """One zone, of which nothing has changed: how long, what it sends, and CPU of global."""
    cpu, received = plane_cpu_s(top), way.received
    times = [crowd.rejoin(ZONES[0]) for _ in range(REJOINS)]
    kilobytes = (way.received - received) / REJOINS / 1024
    cpu_ms = (plane_cpu_s(top) - cpu) / REJOINS * 1000
    return f"{statistics.median(times):.2f} s, {kilobytes:.0f} KB sent, {cpu_ms:.0f} ms CPU"


def restarted(top: ControlPlane, crowd: ZoneCrowd) -> str:
    """Killed and started at once."""
    with crowd.coming_back():
        top.kill()
        begin = time.monotonic()
        top.start()
        ready = time.monotonic() - begin
    return f"ready after {ready:.1f} s, all zones told everything after {time.monotonic() - begin:.1f} s"


def reads(top: ControlPlane) -> Iterator[tuple[str, str]]:
    """Seconds of lists, one after the other over one connection."""
    rest = Rest(top)
    lists = {
        "a page of 100": ["/dataplanes?size=100"],
        "all, in pages of 1,000": [f"/dataplanes?size=1000&offset={page}000" for page in range(PAGES)],
        "overviews of 1,000": ["/dataplanes/_overview?size=1000"],
        "all service insights": ["/meshes/default/service-insights"],
        "all zones with their insights": ["/zones/_overview"],
    }
    for name, paths in lists.items():
        times = []
        for _ in range(max(5, READS // len(paths))):
            begin = time.monotonic()
            for path in paths:
                rest.get(path)
            times.append(time.monotonic() - begin)
        yield f"REST, {name}", shown_ms(times)


def measure(dataplanes: int) -> tuple[list[Row], float]:
    """With so many in each zone; and CPU of global for a change."""
    with scene(dataplanes) as (top, crowd, way):
        empty, cpu = plane_memory_mb(top), plane_cpu_s(top)
        joined = crowd.join()
        cpu = plane_cpu_s(top) - cpu
        total = json.loads(Rest(top).get("/dataplanes?size=1"))["total"]
        assert total == len(ZONES) * dataplanes, total
        name = f"global, {total:,} Dataplanes of {len(ZONES)} zones"
        time.sleep(SETTLE_S)
        full = plane_memory_mb(top)
        each = (full - empty) / total * 1024
        times, cpu_each = one_by_one(top, crowd, dataplanes)
        rows = [
            (f"{name} -> all stored", f"{joined:.1f} s, {cpu:.1f} s CPU", ""),
            (f"{name}, memory", f"{full:.0f} MB, {each:.1f} KB for each", ""),
            (f"{name}, one changes -> stored", f"{shown_ms(times)}, {cpu_each * 1000:.1f} ms CPU", ""),
            (f"{name}, a zone comes back with {dataplanes:,}", coming_back(top, crowd, way), ""),
        ]
        if dataplanes == LARGE:
            rows += [(f"{name}, {what}", figure, "") for what, figure in reads(top)]
            rows.append((f"{name}, killed and started again", restarted(top, crowd), ""))
    return rows, cpu_each


def run() -> list[Row]:
    few, cpu_of_few = measure(SMALL)
    many, cpu_of_many = measure(LARGE)
    ratio = f"{cpu_of_many / cpu_of_few:.2f}"
    return [*few, *many, (f"global, CPU of a change with {LARGE // SMALL} times as many", ratio, "<= 1.5")]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
