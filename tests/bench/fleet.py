"""A mesh of many services and proxies as its control plane sees it.

Every proxy offers one service and calls a few. Each service has one more instance, of no connected proxy: its
port is the service's mark, and moves.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from crowd import Crowd
from delta_clients import MARK_BASE

from lab import ControlPlane, lab, mesh, path_of

JSON = {"content-type": "application/json"}
FLUSH_S = 15.0
"""Longer than the interval at which insights are written: what is idle starts after that."""
PROCESSES = 2
"""Of clients: one alone would be what the others wait for."""


def service(number: int) -> str:
    return f"service-{number}"


def dataplane(name: str, number: int, port: int, offered: str, called: list[str]) -> dict[str, Any]:
    """A Dataplane on an address of its own, made of `number`, on which nobody listens."""
    tags = {
        "kuma.io/service": offered,
        "kuma.io/protocol": "http",
        "app": offered,
        "version": f"v{number % 3}",
        "team": f"team-{number % 7}",
    }
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": name,
        "networking": {
            "address": f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}",
            "admin": {"port": 9901},
            "inbound": [{"port": port, "servicePort": 8080, "tags": tags}],
            "outbound": [
                {"port": 20_000 + place, "tags": {"kuma.io/service": each}}
                for place, each in enumerate(called)
            ],
        },
    }


@dataclass(frozen=True, slots=True)
class Shape:
    """So many of them; proxy i offers service i and calls the `outbounds` services after it, all modulo the
    number of services."""

    proxies: int = 1000
    services: int = 100
    outbounds: int = 10

    @property
    def subscribers(self) -> int:
        """Proxies that call one service."""
        return self.proxies * self.outbounds // self.services

    def documents(self) -> list[dict[str, Any]]:
        return [
            dataplane(
                f"proxy-{number}",
                number,
                8080,
                service(number % self.services),
                [service((number + step) % self.services) for step in range(1, self.outbounds + 1)],
            )
            for number in range(self.proxies)
        ]


class Rest:
    """One connection to the REST API that is kept; for one thread."""

    def __init__(self, plane: ControlPlane) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", plane.api_port, timeout=60)

    def get(self, path: str) -> bytes:
        return self._exchange("GET", path, None)

    def put(self, document: Mapping[str, Any]) -> None:
        self._exchange("PUT", path_of(document), json.dumps(document))

    def delete(self, path: str) -> None:
        self._exchange("DELETE", path, None)

    def _exchange(self, method: str, path: str, body: str | None) -> bytes:
        self._connection.request(method, path, body, JSON)
        answer = self._connection.getresponse()
        data = answer.read()
        assert answer.status in (200, 201), f"{method} {path}: {answer.status} {data.decode()}"
        return data


def marked(number: int, mark: int) -> dict[str, Any]:
    """The instance of a service that belongs to no connected proxy, with its mark."""
    return dataplane(f"moving-{number}", 1 << 20 | number, MARK_BASE + mark, service(number), [])


class Fleet:
    """A control plane that knows the moving instance of every service; the proxies of the documents are
    connected by `connect`."""

    def __init__(self, plane: ControlPlane, proxies: Sequence[Mapping[str, Any]], services: int) -> None:
        self.plane = plane
        self.proxies = proxies
        self.rest = Rest(plane)
        self.marks = dict.fromkeys(range(services), 0)
        self._crowd: Crowd | None = None
        self.rest.put(mesh())
        for number in range(services):
            self.rest.put(marked(number, 0))

    @property
    def crowd(self) -> Crowd:
        assert self._crowd
        return self._crowd

    def connect(self, processes: int = PROCESSES) -> float:
        """Seconds from the start of the clients until all are configured."""
        begin = time.monotonic()
        self._crowd = Crowd(self.plane, self.proxies, processes)
        self._crowd.ready()
        return time.monotonic() - begin

    def next_mark(self, number: int) -> dict[str, Any]:
        """The document that moves the instance of a service once more."""
        self.marks[number] += 1
        return marked(number, self.marks[number])

    def change(self, number: int) -> float:
        """Move one instance: seconds from before the REST write to the last acknowledgement."""
        document = self.next_mark(number)
        begin = time.monotonic()
        self.rest.put(document)
        name, mark = service(number), self.marks[number]
        return self.crowd.until({name: mark}).at[name, mark] - begin

    def changes(self, count: int, limit_s: float, services: int = 0) -> list[float]:
        """Move one instance after the other, of the first `services` of all services in turn; fewer than
        `count` when the time is over."""
        over = time.monotonic() + limit_s
        times: list[float] = []
        while len(times) < count and (not times or time.monotonic() < over):
            times.append(self.change(len(times) % (services or len(self.marks))))
        return times

    def close(self) -> None:
        if self._crowd is not None:
            self._crowd.close()


@contextlib.contextmanager
def fleet(proxies: Sequence[Mapping[str, Any]], services: int) -> Iterator[Fleet]:
    """With a control plane of its own."""
    with tempfile.TemporaryDirectory() as folder, lab(Path(folder)) as started:
        made = Fleet(started.control_plane(), proxies, services)
        try:
            yield made
        finally:
            made.close()
