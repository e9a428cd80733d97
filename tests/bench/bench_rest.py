"""Requests a second that the REST API answers, alone and while a thousand proxies are connected."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fleet import FLUSH_S, Fleet, Shape, dataplane, fleet, service
from probe import Row, shown_ms

from lab import ControlPlane, path_of

SHAPE = Shape(proxies=1000, services=100, outbounds=10)
CLIENTS = (1, 16)
ROUNDS = 3
SECONDS = 1.5
SCRIPT = Path(__file__).with_name("rest_load.py")
FOLDER = "/meshes/default/dataplanes"

Request = tuple[str, str, str]


def one(client: int) -> list[Request]:
    return [("GET", f"{FOLDER}/proxy-{client}", "")]


def hundred(_: int) -> list[Request]:
    return [("GET", f"{FOLDER}?size=100", "")]


def overviews(_: int) -> list[Request]:
    return [("GET", f"{FOLDER}/_overview?size=1000", "")]


def document(client: int, name: str) -> dict[str, object]:
    """A Dataplane of a service that nobody calls."""
    called = [service(number) for number in range(SHAPE.outbounds)]
    return dataplane(name, 2 << 20 | client, 8080, "uncalled", called)


def update(client: int) -> list[Request]:
    changing = document(client, f"updated-{client}")
    body = json.dumps(changing).replace('"port": 8080', '"port": 808@')
    return [("PUT", path_of(changing), body)]


def create_and_delete(client: int) -> list[Request]:
    passing = document(client, f"passing-{client}")
    return [("PUT", path_of(passing), json.dumps(passing)), ("DELETE", path_of(passing), "")]


KINDS: dict[str, Callable[[int], list[Request]]] = {
    "get one Dataplane": one,
    "list 100 Dataplanes": hundred,
    "overview of 1,000 Dataplanes": overviews,
    "update a Dataplane": update,
    "create and delete a Dataplane": create_and_delete,
}


def load(plane: ControlPlane, kind: str, clients: int) -> list[float]:
    """Seconds of each request."""
    lines = "".join(json.dumps(KINDS[kind](client)) + "\n" for client in range(clients))
    argv = [sys.executable, str(SCRIPT), str(plane.api_port), str(clients), str(SECONDS)]
    output = subprocess.run(argv, input=lines, capture_output=True, text=True, check=True).stdout
    times: list[float] = json.loads(output)
    return times


def measure(plane: ControlPlane, kind: str) -> str:
    parts = []
    for clients in CLIENTS:
        rounds = [load(plane, kind, clients) for _ in range(ROUNDS)]
        rate = statistics.median(len(times) / SECONDS for times in rounds)
        times = [seconds for each in rounds for seconds in each]
        parts.append(f"{rate:,.0f}/s, {shown_ms(times)} with {clients}")
    return "; ".join(parts)


def table(made: Fleet, when: str) -> list[Row]:
    return [(f"REST, {kind}{when}", measure(made.plane, kind), "") for kind in KINDS]


def run() -> list[Row]:
    with fleet(SHAPE.documents(), SHAPE.services) as made:
        for each in made.proxies:
            made.rest.put(each)
        rows = table(made, "")
        made.connect()
        time.sleep(FLUSH_S)
        return [*rows, *table(made, ", 1,000 proxies connected")]


if __name__ == "__main__":
    for line in run():
        print("  ".join(line))
