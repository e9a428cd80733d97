"""What one endpoint change costs while the mesh around it grows, its own service keeping as many callers.

In a mesh of N services N proxies are connected; each offers one service and calls the nine after it. So a
service has nine callers in every mesh, and whatever grows with N is work for those that nothing concerns.
"""

from __future__ import annotations

import contextlib
import statistics
import time

from fleet import FLUSH_S, Fleet, Shape, fleet, marked
from probe import Row, plane_cpu_s, shown_ms

from kumacp.policy.permission import inbound_rbac
from kumacp.store.api import Change, Operation
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumacp.xds.model import ProxyMetadata
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest
from lab import mesh

SIZES = (10, 100, 1000)
CALLERS = 9
CHANGED = 10
"""Services that change in turn: as many as the smallest mesh has."""
HUB_ROUNDS = 200
ROUNDS = 15
CHANGES = 40
ROUND_S = 2.0
"""At most that in one round, of one mesh; the meshes take turns."""
GOAL = "<= 1.5"


def shape(services: int) -> Shape:
    return Shape(proxies=services, services=services, outbounds=CALLERS)


def update(resource: Resource) -> list[Change]:
    return [Change(Operation.UPDATE, resource.key, None, resource)]


def hub_of(services: int) -> Hub:
    """Everybody connected; nobody certified, which no endpoint depends on."""
    hub = Hub("zone-1", build, inbound_rbac)
    proxies = [from_rest(document) for document in shape(services).documents()]
    moving = [from_rest(marked(number, 0)) for number in range(services)]
    hub.load([from_rest(mesh()), *proxies, *moving])
    for proxy in proxies:
        hub.connect(proxy.key, ProxyMetadata(admin_port=9901, workdir="/run/kuma"))
    return hub


def hub_seconds(hub: Hub, mark: int) -> float:
    """Of one change of each changed service."""
    changes = [update(from_rest(marked(number, mark))) for number in range(CHANGED)]
    begin = time.perf_counter()
    touched = [hub.apply(change) for change in changes]
    elapsed = time.perf_counter() - begin
    assert all(len(proxies) == CALLERS for proxies in touched)
    return elapsed / CHANGED


def inside_the_hub() -> list[Row]:
    hubs = {services: hub_of(services) for services in SIZES}
    rounds = [
        {services: hub_seconds(hub, mark) for services, hub in hubs.items()}
        for mark in range(1, 1 + HUB_ROUNDS)
    ]
    medians = {services: statistics.median(each[services] for each in rounds) for services in SIZES}
    shown = ", ".join(f"{median * 1e6:.0f} us at {services:,}" for services, median in medians.items())
    return [
        ("growth, one endpoint change inside the hub, by services", shown, ""),
        ratio("inside the hub", [(each[SIZES[0]], each[SIZES[-1]]) for each in rounds]),
    ]


def ratio(name: str, pairs: list[tuple[float, float]]) -> Row:
    """Of the largest mesh to the smallest, round by round."""
    median = statistics.median(large / small for small, large in pairs)
    return (f"growth, {SIZES[-1]:,} services / {SIZES[0]}, {name}", f"{median:.2f}", GOAL)


class Meter:
    """Times and CPU of one mesh's changes, round by round."""

    def __init__(self, made: Fleet) -> None:
        self._made = made
        self.cpu: list[float] = []
        self.seconds: list[list[float]] = []

    def measure_round(self) -> None:
        before = plane_cpu_s(self._made.plane)
        times = self._made.changes(CHANGES, ROUND_S, CHANGED)
        self.seconds.append(times)
        self.cpu.append((plane_cpu_s(self._made.plane) - before) / len(times))

    @property
    def every(self) -> list[float]:
        return [seconds for each in self.seconds for seconds in each]


def through_the_server() -> list[Row]:
    with contextlib.ExitStack() as stack:
        meters = {}
        for services in SIZES:
            made = stack.enter_context(fleet(shape(services).documents(), services))
            made.connect(processes=1)
            meters[services] = Meter(made)
        time.sleep(FLUSH_S)
        for number in range(ROUNDS):
            for services in sorted(SIZES, reverse=bool(number % 2)):
                meters[services].measure_round()
    small, large = meters[SIZES[0]], meters[SIZES[-1]]
    waits = [[statistics.median(each) for each in meter.seconds] for meter in (small, large)]
    rows = [
        (
            f"growth, endpoint change -> ACK of {CALLERS} at {services:,} services",
            f"{shown_ms(meter.every)}, {statistics.median(meter.cpu) * 1000:.1f} ms CPU",
            "",
        )
        for services, meter in meters.items()
    ]
    return [
        *rows,
        ratio("change -> ACK of all", list(zip(*waits, strict=True))),
        ratio("control plane's CPU", list(zip(small.cpu, large.cpu, strict=True))),
    ]


def run() -> list[Row]:
    return [*inside_the_hub(), *through_the_server()]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
