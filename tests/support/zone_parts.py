"""The parts of a zone in tests: proxies of all kinds, what callers get, what their Envoys were told."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import signal
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Protocol

import psutil

from lab import Program, Sidecar, eventually, tcp_line
from lab import http as request
from load import Load
from tcp_relay import Address, TcpRelay


class Place(Protocol):
    """A host, as `redirected_network.Host` is one; `inside()`: this thread is on it."""

    @property
    def address(self) -> str: ...

    def inside(self) -> AbstractContextManager[None]: ...


class Here:
    """The `Place` where the tests run."""

    address = "127.0.0.1"

    def inside(self) -> AbstractContextManager[None]:
        return contextlib.nullcontext()


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of a cluster, as Envoy has it now. `zone`: of its locality, "" without one."""

    address: Address
    weight: int
    zone: str
    priority: int


@dataclass
class Proxy:
    """A kuma-dp with its Envoy; `document` is what it was started with."""

    place: Place
    sidecar: Sidecar
    document: dict[str, Any]

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def address(self) -> Address:
        """Of the listener of a zone proxy, or of the first inbound."""
        networking = self.document["networking"]
        return networking["address"], networking.get("port") or networking["inbound"][0]["port"]

    def ready(self) -> None:
        with self.place.inside():
            self.sidecar.ready()

    def start(self) -> None:
        """Again, and until it is READY."""
        with self.place.inside():
            self.sidecar.start()
            self.sidecar.ready()

    def stop(self) -> None:
        """As people stop it: it drains, says goodbye, and ends."""
        self.sidecar.program.end()

    def kill(self) -> None:
        """Without a word, and its Envoy with it."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = psutil.Process(self.sidecar.program.process.pid).children()
            self.sidecar.program.end(signal.SIGKILL)
            psutil.wait_procs(children, timeout=30)

    def admin(self, path: str) -> Any:
        """Parsed JSON of Envoy's admin."""
        with self.place.inside():
            return json.loads(self.sidecar.admin(path))

    def stat(self, name: str) -> int:
        with self.place.inside():
            return self.sidecar.stat(name)

    def clusters(self) -> dict[str, list[Endpoint]]:
        """Of the dynamic clusters, by name."""
        statuses = self.admin("/clusters?format=json").get("cluster_statuses", [])
        return {
            status["name"]: [
                _endpoint(host)
                for host in status.get("host_statuses", [])
                if "socket_address" in host["address"]
            ]
            for status in statuses
            if status.get("added_via_api")
        }

    def endpoints(self, cluster: str) -> list[Endpoint]:
        return self.clusters().get(cluster, [])

    def addresses(self, cluster: str) -> set[Address]:
        return {endpoint.address for endpoint in self.endpoints(cluster)}

    def shares(self, cluster: str) -> dict[str, int]:
        """Sums of the weights of a cluster by zone, in lowest terms: {"z1": 2, "z2": 3, "z3": 3}."""
        return lowest_terms((endpoint.zone, endpoint.weight) for endpoint in self.endpoints(cluster))

    def listeners(self) -> set[str]:
        return {status["name"] for status in self.admin("/listeners?format=json")["listener_statuses"]}

    def configs(self, kind: str) -> list[dict[str, Any]]:
        """The resources of this kind, such as `envoy.config.listener.v3.Listener`, of the configuration."""
        return list(_of_kind(self.admin("/config_dump?include_eds"), f"type.googleapis.com/{kind}"))

    def server_names(self) -> set[str]:
        """What a zone proxy's listener has filter chains for."""
        return {
            name
            for listener in self.configs("envoy.config.listener.v3.Listener")
            for chain in listener.get("filter_chains", [])
            for name in chain.get("filter_chain_match", {}).get("server_names", [])
        }


@dataclass
class ZoneIngress(Proxy):
    """`advertised`: where other zones dial it; `way`: the relay there."""

    advertised: Address = ("", 0)
    way: TcpRelay | None = None


@dataclass
class Instance(Proxy):
    """A service: the application with its sidecar."""

    app: Program = field(kw_only=True)
    launch_app: Callable[[], Program] = field(kw_only=True)

    def start(self) -> None:
        if not self.app.running:
            self.app = self.launch_app()
        super().start()

    def stop(self) -> None:
        super().stop()
        self.app.end()

    def kill(self) -> None:
        super().kill()
        self.app.end(signal.SIGKILL)


@dataclass
class Caller(Proxy):
    """A program that calls services through its sidecar: `ports` of its outbounds by service."""

    ports: dict[str, int] = field(default_factory=dict)

    def call(self, service: str, path: str = "/") -> tuple[int, dict[str, Any]]:
        """(status, what the application says) of one request; {} if it was not the application."""
        with self.place.inside():
            status, body = request("GET", f"http://127.0.0.1:{self.ports[service]}{path}")
        return status, json.loads(body) if body.startswith(b"{") else {}

    def line(self, service: str, line: bytes = b"hello\n") -> bytes:
        """The answer of a TCP service, behind `zone/instance`."""
        with self.place.inside():
            return tcp_line(self.ports[service], line)

    def answering(self, service: str, calls: int = 20) -> set[str]:
        """The zones that answer some calls; "" stands for a failure."""
        return {self.call(service)[1].get("zone", "") for _ in range(calls)}

    def reaches(self, service: str, *zones: str) -> None:
        """Sooner or later all of these zones, and no other, answer; and no call fails."""
        eventually(
            lambda: self.answering(service) == set(zones), f"{self.name}: {service} answered by {zones}"
        )

    def fails(self, service: str, status: int = 503) -> None:
        """Sooner or later calls are answered by the sidecar itself."""
        eventually(lambda: self.call(service) == (status, {}), f"{self.name}: {status} of {service}")

    def spread(self, service: str, requests: int = 400) -> Counter[str]:
        """How many of the requests each zone answers; none may fail."""
        answers: Counter[str] = Counter()
        with self.place.inside(), contextlib.ExitStack() as stack:
            # As many connections as there may be workers of Envoy, each of which takes turns by itself.
            connections = [http.client.HTTPConnection("127.0.0.1", self.ports[service], timeout=20)] * 4
            for number in range(requests):
                connection = connections[number % len(connections)]
                stack.callback(connection.close)
                connection.request("GET", "/")
                answer = connection.getresponse()
                body = answer.read()
                assert answer.status == 200, f"{answer.status} {body!r}"
                answers[zone_of(body)] += 1
        return answers

    def spread_lines(self, service: str, connections: int = 400) -> Counter[str]:
        """How many of the connections each zone answers, of a TCP service; none may fail."""
        answers = Counter(self.line(service).partition(b"/")[0].decode() for _ in range(connections))
        assert not answers[""], answers
        return answers

    @contextlib.contextmanager
    def load(self, service: str, **options: Any) -> Iterator[Load]:
        """A steady load; `answers` are counted by zone. Options of `Load`."""
        load = Load(self.ports[service], **{"key": zone_of, **options})
        with self.place.inside():
            load.__enter__()
        try:
            yield load
        finally:
            load.__exit__(None, None, None)


def lowest_terms(weights: Iterable[tuple[str, int]]) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, weight in weights:
        sums[key] += weight
    divisor = math.gcd(*sums.values()) or 1
    return {key: weight // divisor for key, weight in sums.items()}


def zone_of(body: bytes) -> str:
    """The zone of the application that answered."""
    return str(json.loads(body)["zone"])


def _endpoint(host: dict[str, Any]) -> Endpoint:
    address = host["address"]["socket_address"]
    return Endpoint(
        (address["address"], address["port_value"]),
        host.get("weight", 1),
        host.get("locality", {}).get("zone", ""),
        host.get("priority", 0),
    )


def _of_kind(value: Any, type_url: str) -> Iterator[dict[str, Any]]:
    """Every message of the type anywhere in a dump."""
    if isinstance(value, dict):
        if value.get("@type") == type_url:
            yield value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _of_kind(item, type_url)
