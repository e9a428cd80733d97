"""An instance comes, goes or gets company in one zone: how long until a proxy in another zone knows, and
where the time goes."""

from __future__ import annotations

import http.client
import json
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet import Rest, dataplane, service
from line_process import LineProcess
from probe import Row, shown_ms

from lab import path_of
from zone_parts import Caller
from zones import World, Zone, zones

SERVICE = "backend"
ROUNDS = 100
ROUNDS_S = 20.0
LONGEST_PAUSE_S = 0.15
OTHERS = 500
"""Services that the zone has besides, in the end."""
AT_ONCE = 100
CROWDS = 5
WRITERS = 16
POLL_S = 0.002
PATIENCE_S = 60.0
GOAL = "p99 <= 500 ms"
STEPS = ("stored", "ingress written", "stored by global", "stored in the other zone", "ACKed there")

Seen = Callable[[int], float]
"""Waits until there are so many instances; when that was, in seconds since the epoch."""


class Watch:
    """A delta xDS client in the place of a proxy of the zone that calls the service."""

    def __init__(self, zone: Zone) -> None:
        self._process = LineProcess("assignment_watch.py")
        self._process.write(
            {
                "target": f"localhost:{zone.plane.dp_port}",
                "ca": str(zone.plane.work_dir / "kuma-cp.crt"),
                "token": zone.plane.token(),
                "dataplane": dataplane("watch-1", 1, 8080, "watch", [SERVICE]),
                "service": SERVICE,
            }
        )

        self._changed = threading.Condition()
        self._at, self._weights = 0.0, [-1]
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def until(self, instances: int) -> float:
        """When it acknowledged one endpoint of that weight, or none."""
        wanted = [instances] if instances else []
        with self._changed:
            assert self._changed.wait_for(lambda: self._weights == wanted, PATIENCE_S), self._weights
            return self._at

    def _read(self) -> None:
        while (line := self._process.read()) is not None:
            with self._changed:
                self._at, self._weights = line
                self._changed.notify()

    def close(self) -> None:
        self._process.hang_up()
        self._reader.join()
        self._process.wait()


class EnvoyWatch:
    """The Envoy of a caller, asked again and again."""

    def __init__(self, caller: Caller) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", caller.sidecar.admin_port)

    def until(self, instances: int) -> float:
        """When it had an endpoint, or none."""
        over = time.monotonic() + PATIENCE_S
        while self._has_endpoints() != bool(instances):
            assert time.monotonic() < over, f"Envoy does not know of {instances} instances"
            time.sleep(POLL_S)
        return time.time()

    def _has_endpoints(self) -> bool:
        # Not by a gauge: that of a cluster which took the place of another stays at what it was.
        self._connection.request("GET", "/clusters")
        return f"\n{SERVICE}::127.0.0.1:".encode() in self._connection.getresponse().read()


@dataclass(frozen=True, slots=True)
class Change:
    """Seconds since the epoch: just before the write, and when each step was done."""

    begun: float
    steps: tuple[float, ...]

    @property
    def took(self) -> float:
        return self.steps[-1] - self.begun


class Instances:
    """Of the service, in the zone `here`: a Dataplane with as many inbounds, none when there are none."""

    def __init__(self, world: World, here: Zone, there: Zone) -> None:
        self._rests = [Rest(plane) for plane in (here.plane, world.top, there.plane)]

    def become(self, count: int, seen: Seen) -> Change:
        begun = time.time()
        document = instance("moving", 0, count)
        if count:
            self._rests[0].put(document)
        else:
            self._rests[0].delete(path_of(document))
        last = seen(count)
        return Change(begun, (*self._stored(), last))

    def _stored(self) -> Iterator[float]:
        """When the Dataplane was written, and the ingress in its zone, by global and in the other zone."""
        for moved in self._items(self._rests[0], "/dataplanes?name=moving"):
            yield _seconds(moved)
        for rest in self._rests:
            [ingress] = self._items(rest, "/zoneingresses")
            yield _seconds(ingress)

    @staticmethod
    def _items(rest: Rest, path: str) -> Any:
        return json.loads(rest.get(path))["items"]


def _seconds(resource: Any) -> float:
    return datetime.fromisoformat(resource["modificationTime"]).timestamp()


def instance(name: str, number: int, inbounds: int = 1) -> dict[str, Any]:
    document = dataplane(f"{name}-{number}", 1 << 20 | number, 8080, SERVICE, [])
    [inbound] = document["networking"]["inbound"]
    document["networking"]["inbound"] = [{**inbound, "port": 8080 + each} for each in range(inbounds)]
    return document


@contextmanager
def scene() -> Iterator[tuple[World, Zone, Zone, EnvoyWatch]]:
    """Global, a zone with an ingress, and a zone with a caller."""
    with tempfile.TemporaryDirectory() as folder, zones(Path(folder), "here", "there") as world:
        here, there = world["here"], world["there"]
        here.ingress()
        caller = there.caller("web", SERVICE)
        world.ready()
        yield world, here, there, EnvoyWatch(caller)


def rounds(instances: Instances, seen: Seen, counts: Sequence[int]) -> list[Change]:
    """One after the other with pauses, fewer when the time is over."""
    over, chance = time.monotonic() + ROUNDS_S, random.Random(1)
    changes: list[Change] = []
    while len(changes) < ROUNDS and (not changes or time.monotonic() < over):
        time.sleep(chance.uniform(0, LONGEST_PAUSE_S))
        changes.append(instances.become(counts[len(changes) % len(counts)], seen))
    return changes


def crowds(here: Zone, seen: Seen) -> list[float]:
    """Seconds from the first of many instances that come at once, beside the one that is there, until all
    are known; and the same when they go."""
    documents = [instance("crowd", 1 + number) for number in range(AT_ONCE)]
    share = len(documents) // WRITERS + 1
    rests = [Rest(here.plane) for _ in range(WRITERS)]

    def write(number: int, *, come: bool) -> None:
        for document in documents[number * share :][:share]:
            if come:
                rests[number].put(document)
            else:
                rests[number].delete(path_of(document))

    times = []
    with ThreadPoolExecutor(WRITERS) as pool:
        for turn in range(2 * CROWDS):
            come = turn % 2 == 0
            begun = time.time()
            writes = [pool.submit(write, number, come=come) for number in range(WRITERS)]
            for each in writes:
                each.result()
            times.append(seen(1 + AT_ONCE * come) - begun)
    return times


def where(changes: Sequence[Change]) -> str:
    """Medians of the steps."""
    moments = [(change.begun, *change.steps) for change in changes]
    spans = [
        statistics.median(moment[step + 1] - moment[step] for moment in moments) * 1000
        for step in range(len(STEPS))
    ]
    return ", ".join(f"{name} {span:.1f}" for name, span in zip(STEPS, spans, strict=True)) + " ms"


def fill(here: Zone) -> None:
    rest = Rest(here.plane)
    for number in range(OTHERS):
        rest.put(dataplane(f"other-{number}", number, 8080, service(number), []))


def run() -> list[Row]:
    with scene() as (world, here, there, envoy):
        instances, watch = Instances(world, here, there), Watch(there)
        try:
            instances.become(1, watch.until)
            alone = rounds(instances, watch.until, (2, 1))
            in_envoy = rounds(instances, envoy.until, (0, 1))
            instances.become(1, watch.until)
            at_once = crowds(here, watch.until)
            fill(here)
            among_many = rounds(instances, watch.until, (2, 1))
        finally:
            watch.close()

    def shown(changes: Sequence[Change]) -> str:
        return shown_ms([change.took for change in changes])

    name = "zones, instance in one"
    return [
        (f"{name} -> weight ACKed in another", shown(alone), GOAL),
        (f"{name} -> weight ACKed in another, where the time goes", where(alone), ""),
        (f"{name} comes or goes -> endpoint in another's Envoy", shown(in_envoy), GOAL),
        (f"zones, {AT_ONCE} instances come or go at once -> all ACKed", shown_ms(at_once), ""),
        (f"{name} of {OTHERS} services -> weight ACKed in another", shown(among_many), ""),
        (f"{name} of {OTHERS} services, where the time goes", where(among_many), ""),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
