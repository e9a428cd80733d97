"""A thousand connected proxies of a hundred services: what they cost, and how changes reach them."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

from fleet import FLUSH_S, Fleet, Rest, Shape, fleet, service
from probe import Row, plane_cpu_s, plane_memory_mb, shown_ms

SHAPE = Shape(proxies=1000, services=100, outbounds=10)
CHANGES = 200
CHANGES_S = 20.0
STORM_PER_S = 100
STORM_S = 10
WRITERS = 16
SETTLE_S = 3.0
IDLE_S = 20.0


def idle_share(made: Fleet) -> float:
    """CPU of the control plane while nothing happens, as a share of a core."""
    time.sleep(FLUSH_S)
    cpu = plane_cpu_s(made.plane)
    time.sleep(IDLE_S)
    return (plane_cpu_s(made.plane) - cpu) / IDLE_S


def one_by_one(made: Fleet, idle: float) -> tuple[list[float], float]:
    """Seconds of each change until its last acknowledgement, and CPU of the control plane for each, without
    what it takes anyway."""
    cpu, begin = plane_cpu_s(made.plane), time.monotonic()
    times = made.changes(CHANGES, CHANGES_S)
    used = plane_cpu_s(made.plane) - cpu - idle * (time.monotonic() - begin)
    return times, used / len(times)


def storm(made: Fleet) -> tuple[list[float], int, int]:
    """Seconds of each change from when it was due until its last acknowledgement; responses with assignments,
    and the assignments in them."""
    own = threading.local()

    def write(document: dict[str, object]) -> None:
        if not hasattr(own, "rest"):
            own.rest = Rest(made.plane)
        own.rest.put(document)

    due: dict[tuple[str, int], float] = {}
    begin = time.monotonic()
    with ThreadPoolExecutor(WRITERS) as pool:
        writes = []
        for count in range(STORM_PER_S * STORM_S):
            number = count % SHAPE.services
            moment = begin + count / STORM_PER_S
            time.sleep(max(0.0, moment - time.monotonic()))
            writes.append(pool.submit(write, made.next_mark(number)))
            due[service(number), made.marks[number]] = moment
        for each in writes:
            each.result()
    reached = made.crowd.until({service(number): mark for number, mark in made.marks.items()})
    times = [reached.at[change] - moment for change, moment in due.items()]
    return times, reached.responses, reached.assignments


def run() -> list[Row]:
    with fleet(SHAPE.documents(), SHAPE.services) as made:
        time.sleep(SETTLE_S)
        before = plane_memory_mb(made.plane)
        connected = made.connect()
        idle = idle_share(made)
        settled = plane_memory_mb(made.plane)
        times, cpu = one_by_one(made, idle)
        storm_times, responses, assignments = storm(made)
        time.sleep(FLUSH_S)
        after = plane_memory_mb(made.plane)
    each = (settled - before) / SHAPE.proxies
    told = STORM_PER_S * STORM_S * SHAPE.subscribers
    name = f"fleet of {SHAPE.proxies}"
    return [
        (f"{name}, {SHAPE.services} services: connect and are configured", f"{connected:.1f} s", ""),
        (f"{name}, control plane's memory per proxy", f"{each:.2f} MB", "<= 0.5 MB"),
        (f"{name}, control plane's idle CPU", f"{idle * 100:.1f} % of a core", "< 2 %"),
        (f"{name}, endpoint change -> ACK of all {SHAPE.subscribers} callers", shown_ms(times), "p99 <= 1 s"),
        (f"{name}, control plane's CPU per endpoint change", f"{cpu * 1000:.1f} ms", ""),
        (f"{name}, {STORM_PER_S} changes/s for {STORM_S} s -> ACK of all", shown_ms(storm_times), ""),
        (
            f"{name}, the storm's assignments and messages",
            f"{told:,} due, {assignments:,} sent in {responses:,}",
            "",
        ),
        (f"{name}, memory after the storm", f"{after - settled:+.1f} MB against before", ""),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
