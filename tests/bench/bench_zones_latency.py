"""An instance comes, goes or gets company in one zone: how long until a proxy of another zone knows, and where
the time goes."""

from __future__ import annotations

import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from fleet import Rest, dataplane
from probe import Row, shown_ms

from lab import path_of
from zone_parts import Caller
from zones import World, Zone, zones

SERVICE = "backend"
ROUNDS = 200
ENVOY_ROUNDS = 40
ROUNDS_S = 30.0
POLL_S = 0.001
SCRIPT = Path(__file__).with_name("assignment_watch.py")
STEPS = ("stored in its zone", "ingress written", "stored by global", "stored in the other zone", "told and ACKed")


class Watch:
    """A delta xDS client in the place of a proxy of the zone that calls the service."""

    def __init__(self, zone: Zone) -> None:
        spec = {
            "target": f"localhost:{zone.plane.dp_port}",
            "ca": str(zone.plane.work_dir / "kuma-cp.crt"),
            "token": zone.plane.token(),
            "dataplane": dataplane("watch-1", 1, 8080, "watch", [SERVICE]),
            "service": SERVICE,
        }
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdin
        self._process.stdin.write(json.dumps(spec) + "\n")
        self._process.stdin.flush()

    def until(self, wanted: list[int]) -> float:
        """When (since the epoch) it acknowledged these weights of the endpoints."""
        assert self._process.stdout
        for line in self._process.stdout:
            at, weights = json.loads(line)
            if weights == wanted:
                return float(at)
        raise AssertionError("the client has ended")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


class EnvoyWatch:
    """The Envoy of a caller, asked again and again."""

    def __init__(self, caller: Caller) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", caller.sidecar.admin_port)

    def until(self, wanted: list[int]) -> float:
        """When (since the epoch) it had as many endpoints."""
        while self._endpoints() != len(wanted):
            time.sleep(POLL_S)
        return time.time()

    def _endpoints(self) -> int:
        self._connection.request("GET", f"/stats?filter=^cluster.{SERVICE}.membership_total$")
        return int(self._connection.getresponse().read().decode().rpartition(": ")[2] or 0)


@dataclass(frozen=True, slots=True)
class Change:
    """Seconds since the epoch: just before the write, and when each step was done."""

    begun: float
    steps: tuple[float, ...]

    @property
    def took(self) -> float:
        return self.steps[-1] - self.begun


class Instances:
    """Of one service in one zone: a Dataplane with as many inbounds, none when there are none."""

    def __init__(self, world: World, here: Zone, there: Zone) -> None:
        self._rests = {plane: Rest(plane) for plane in (here.plane, world.top, there.plane)}
        self._here = here.plane

    def become(self, count: int, seen: Callable[[list[int]], float]) -> Change:
        begun = time.time()
        document = dataplane("moving-1", 1 << 20, 8080, SERVICE, [])
        [inbound] = document["networking"]["inbound"]
        document["networking"]["inbound"] = [{**inbound, "port": 8080 + each} for each in range(count)]
        rest = self._rests[self._here]
        if count:
            rest.put(document)
        else:
            rest.delete(path_of(document))
        last = seen([count] if count else [])
        stored = [self._modified(path_of(document), each) for each in ([rest] if count else [])]
        return Change(begun, (*stored, *self._ingress_written(), last))

    def _ingress_written(self) -> Iterator[float]:
        """In its zone, on global, in the other zone."""
        for rest in self._rests.values():
            [ingress] = json.loads(rest.get("/zoneingresses"))["items"]
            yield _seconds(ingress["modificationTime"])

    @staticmethod
    def _modified(path: str, rest: Rest) -> float:
        return _seconds(json.loads(rest.get(path))["modificationTime"])


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


@contextmanager
def scene() -> Iterator[tuple[Instances, Watch, EnvoyWatch]]:
    """Global, a zone with an ingress, and a zone with a caller."""
    with tempfile.TemporaryDirectory() as folder, zones(Path(folder), "here", "there") as world:
        here, there = world["here"], world["there"]
        here.ingress()
        caller = there.caller("web", SERVICE)
        world.ready()
        watch = Watch(there)
        try:
            yield Instances(world, here, there), watch, EnvoyWatch(caller)
        finally:
            watch.close()


def rounds(
    instances: Instances, seen: Callable[[list[int]], float], counts: Sequence[int], number: int
) -> list[Change]:
    """As many changes, one after the other, fewer when the time is over."""
    over = time.monotonic() + ROUNDS_S
    changes: list[Change] = []
    while len(changes) < number and (not changes or time.monotonic() < over):
        changes.append(instances.become(counts[len(changes) % len(counts)], seen))
    return changes


def where(changes: Sequence[Change]) -> str:
    """Medians of the steps."""
    moments = [(change.begun, *change.steps) for change in changes]
    spans = [
        statistics.median(moment[step + 1] - moment[step] for moment in moments) * 1000
        for step in range(len(STEPS))
    ]
    return ", ".join(f"{name} {span:.1f} ms" for name, span in zip(STEPS, spans, strict=True))


def run() -> list[Row]:
    with scene() as (instances, watch, envoy):
        instances.become(1, watch.until)
        other_weight = rounds(instances, watch.until, (2, 1), ROUNDS)
        come_and_go = rounds(instances, watch.until, (0, 1), ROUNDS)
        in_envoy = rounds(instances, envoy.until, (0, 1), ENVOY_ROUNDS)
    name = "zones, instance in one"
    return [
        (f"{name} -> weight ACKed in another", shown_ms([each.took for each in other_weight]), "p99 <= 500 ms"),
        (f"{name} -> endpoint ACKed in another", shown_ms([each.took for each in come_and_go]), "p99 <= 500 ms"),
        (f"{name} -> endpoint in Envoy in another", shown_ms([each.took for each in in_envoy]), "p99 <= 500 ms"),
        ("zones, where the time goes (medians)", where(other_weight), ""),
    ]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
