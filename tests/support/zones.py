"""Many zones of real programs: a global control plane, zones, zone ingresses and egresses, services, callers.

    with zones(folder, "z1", "z2") as world:                 # global and two zones, connected, mesh `default`
        z1, z2 = world["z1"], world["z2"]
        z2.ingress()                                         # kuma-dp run --proxy-type=ingress
        backend = z2.serve("backend")                        # an application and its sidecar
        web = z1.caller("web", "backend")                    # a sidecar with an outbound for backend
        world.ready()                                        # nothing above waits; this waits for all of it
        web.reaches("backend", "z2")                         # sooner or later an answer of z2
        web.spread("backend")                                # Counter of zones over 400 calls
        web.shares("backend")                                # {"z1": 1, "z2": 2}: weights of web's Envoy

`world.top` is the global control plane, `z1.plane` that of a zone; both are `lab.ControlPlane`: `get`, `put`,
`delete`, `kumactl`, `kill`, `stop`, `start`. `z1.link` is the `TcpRelay` between the zone and global, and
`ingress.way` the one in front of a zone ingress, at the address that other zones know: `refuse()`,
`blackhole()`, `delay()`, `heal()`, and `accepted`, `server_names` of what passed. A part ends by `stop()`
(SIGTERM) or `kill()` (SIGKILL, with its Envoy), and `start()`s again with its ports.

Where programs run is the world's `Layout`: here the loopback, in `zone_networks` hosts of their own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from lab import ControlPlane, Lab, Program, Sidecar, eventually, free_port, http, lab, mesh
from tcp_relay import Address, TcpRelay, relays
from zone_parts import Caller, Here, Instance, Place, Proxy, ZoneIngress

_ZONE_TOKEN_KEY = "/global-secrets/zone-token-signing-public-key-1"


_Part = TypeVar("_Part", bound=Proxy)


class Layout(Protocol):
    """Where the programs run, and how they find each other."""

    @property
    def top(self) -> Place:
        """Where the global control plane runs."""

    def place(self, zone: str, part: str) -> Place:
        """Where a part of a zone runs; its control plane is `cp`."""

    def way(self, zone: str, part: str, port: int) -> tuple[Address, TcpRelay | None]:
        """What those elsewhere dial to come to a port of a part of a zone, or of global (zone ""); the relay
        on the way."""


class Loopback:
    """A `Layout`: all on 127.0.0.1, with relays between zones and global, and before ingresses."""

    def __init__(self, new_relay: Callable[..., TcpRelay]) -> None:
        self.top: Place = Here()
        self._new = new_relay

    def place(self, zone: str, part: str) -> Place:
        return self.top

    def way(self, zone: str, part: str, port: int) -> tuple[Address, TcpRelay | None]:
        relay = self._new(("127.0.0.1", port))
        return relay.address, relay


@dataclass
class Zone:
    """One zone. `proxies`: everything started here, by its name."""

    world: World
    name: str
    plane: ControlPlane
    link: TcpRelay | None
    proxies: dict[str, Proxy] = field(default_factory=dict)

    def inside(self) -> AbstractContextManager[None]:
        """Where the control plane runs."""
        return self.world.layout.place(self.name, "cp").inside()

    def get(self, path: str) -> Any:
        """From the zone's control plane; None when there is no such thing."""
        with self.inside():
            return self.plane.get(path)

    def token(self, *scopes: str) -> str:
        """A zone token of global with these scopes."""
        body = {"zone": self.name, "scope": scopes, "validFor": "1h"}
        with self.world.layout.top.inside():
            status, token = http("POST", f"{self.world.top.api}/tokens/zone", body)
        assert status == 200, token
        return token.decode()

    def ingress(self, name: str = "ingress-1", *, advertised: Address | None = None) -> ZoneIngress:
        """`kuma-dp run --proxy-type=ingress`. Without an address of its own to advertise it gets a way from
        elsewhere; another ingress's `advertised` makes both replicas behind one address."""
        port, way = free_port(), None
        place = self.world.layout.place(self.name, name)
        if advertised is None:
            advertised, way = self.world.layout.way(self.name, name, port)
        networking = {"advertisedAddress": advertised[0], "advertisedPort": advertised[1]}
        document = _zone_proxy("ZoneIngress", name, place, port, **networking)
        sidecar = self._run(document, place, token=self.token("ingress"), arguments=["--proxy-type=ingress"])
        return self._keep(ZoneIngress(place, sidecar, document, advertised, way))

    def egress(self, name: str = "egress-1") -> Proxy:
        """`kuma-dp run --proxy-type=egress`."""
        place = self.world.layout.place(self.name, name)
        document = _zone_proxy("ZoneEgress", name, place, free_port())
        sidecar = self._run(document, place, token=self.token("egress"), arguments=["--proxy-type=egress"])
        return self._keep(Proxy(place, sidecar, document))

    def serve(
        self,
        service: str,
        name: str = "",
        *,
        mesh: str = "default",
        protocol: str = "http",
        instances: int = 1,
        host: str = "",
        port: int = 0,
        app_port: int = 0,
        arguments: Sequence[str] = (),
        **inbound: Any,
    ) -> Instance:
        """A sidecar and its application, which answers with zone, instance (`name`, else service-1), service
        and port. `instances`: inbounds with the same tags, each of which counts as one. `inbound` adds to
        each, with tags as a mapping that is added to the usual ones; `arguments` are those of kuma-dp."""
        name, app_port = name or f"{service}-1", app_port or free_port()
        place = self.world.layout.place(self.name, host or name)
        tags = {"kuma.io/service": service, "kuma.io/protocol": protocol, **inbound.pop("tags", {})}
        inbounds = [
            {
                "port": (port if not number else 0) or free_port(),
                "servicePort": app_port,
                "serviceAddress": place.address,
                "tags": tags,
                **inbound,
            }
            for number in range(instances)
        ]
        facts = {"zone": self.name, "instance": name, "service": service, "port": app_port}

        def launch() -> Program:
            with place.inside():
                return self.world.lab.launch_app(
                    protocol, f"{self.name}/{name}", app_port, place.address, facts=facts
                )

        document = _dataplane(mesh, name, place, inbound=inbounds)
        sidecar = self._run(document, place, arguments=arguments)
        return self._keep(Instance(place, sidecar, document, app=launch(), launch_app=launch))

    def caller(self, name: str, *services: str, mesh: str = "default", host: str = "", **tags: str) -> Caller:
        """A sidecar of the service `name` with an outbound for each of the others; nothing answers for it."""
        place = self.world.layout.place(self.name, host or f"{name}-1")
        ports = {service: free_port() for service in services}
        own = {"port": free_port(), "tags": {"kuma.io/service": name, "kuma.io/protocol": "http", **tags}}
        outbound = [{"port": port, "tags": {"kuma.io/service": service}} for service, port in ports.items()]
        document = _dataplane(mesh, f"{name}-1", place, inbound=[own], outbound=outbound)
        return self._keep(Caller(place, self._run(document, place), document, ports))

    def run(self, document: dict[str, Any], host: str = "", **options: Any) -> Proxy:
        """`kuma-dp run` for a Dataplane as it stands; options of `lab.Sidecar`."""
        place = self.world.layout.place(self.name, host or document["name"])
        return self._keep(Proxy(place, self._run(document, place, **options), document))

    def _run(self, document: Mapping[str, Any], place: Place, **options: Any) -> Sidecar:
        if "token" not in options:
            with self.inside():
                options["token"] = self.plane.token(document["name"], document["mesh"])
        address = self.world.layout.place(self.name, "cp").address
        options.setdefault("cp_address", f"https://{address}:{self.plane.dp_port}")
        with place.inside():
            return self.world.lab.sidecar(self.plane, document, **options)

    def _keep(self, part: _Part) -> _Part:
        self.proxies[part.name] = part
        return part


class World:
    """A global control plane and its zones, `world["z1"]`."""

    def __init__(self, started: Lab, layout: Layout) -> None:
        self.lab, self.layout = started, layout
        self.zones: dict[str, Zone] = {}
        self.kds_port = free_port()
        self.top: ControlPlane

    def __getitem__(self, zone: str) -> Zone:
        return self.zones[zone]

    def launch_top(self, **environ: str) -> None:
        """`KUMA_MODE=global kuma-cp run`."""
        settings = {
            "KUMA_MODE": "global",
            "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT": str(self.kds_port),
            **environ,
        }
        self.top = self._launch("global", self.layout.top, settings)

    def launch_zone(self, name: str, **environ: str) -> Zone:
        """`KUMA_MODE=zone KUMA_MULTIZONE_ZONE_NAME=.. KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS=.. kuma-cp run`."""
        (address, port), link = self.layout.way("", "global", self.kds_port)
        settings = {
            "KUMA_MODE": "zone",
            "KUMA_MULTIZONE_ZONE_NAME": name,
            "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS": f"grpcs://{address}:{port}",
            "KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY": "true",
            **environ,
        }
        plane = self._launch(name, self.layout.place(name, "cp"), settings)
        self.zones[name] = Zone(self, name, plane, link)
        return self.zones[name]

    def _launch(self, folder: str, place: Place, environ: Mapping[str, str]) -> ControlPlane:
        (self.lab.folder / folder).mkdir()
        plane = ControlPlane(self.lab.folder / folder, environ)
        with place.inside():
            plane.launch()
        self.lab.keep(lambda: plane.program)
        return plane

    def put(self, *documents: Mapping[str, Any]) -> None:
        """On global; a Mesh is waited for in every zone."""
        for document in documents:
            with self.layout.top.inside():
                self.top.put(document)
        for zone in self.zones.values():
            for document in documents:
                if document["type"] == "Mesh":
                    self._has(zone, document["name"])

    def get(self, path: str) -> Any:
        """From global; None when there is no such thing."""
        with self.layout.top.inside():
            return self.top.get(path)

    def kumactl(self, *arguments: str, stdin: str = "") -> str:
        """On global."""
        with self.layout.top.inside():
            return self.top.kumactl(*arguments, stdin=stdin)

    def everywhere(self, path: str) -> list[Any]:
        """What the zones have at a path, in order of the zones."""
        return [zone.get(path) for zone in self.zones.values()]

    def connected(self) -> None:
        """Until global and the zones are ready, every zone is Online and knows the keys of zone tokens."""
        for place, plane in [
            (self.layout.top, self.top),
            *((self.layout.place(name, "cp"), zone.plane) for name, zone in self.zones.items()),
        ]:
            with place.inside():
                plane.ready()
        for zone in self.zones.values():
            joined = zone.plane.program.wait_until
            joined(lambda zone=zone: self.online(zone.name), f"{zone.name} Online at global")
            joined(lambda zone=zone: zone.get(_ZONE_TOKEN_KEY), f"the key of zone tokens in {zone.name}")

    def online(self, zone: str) -> bool:
        """Whether the zone is enabled and connected, as global tells it."""
        overview = self.get(f"/zones/{zone}/_overview") or {}
        enabled = overview.get("zone", {}).get("enabled", True)
        subscriptions = overview.get("zoneInsight", {}).get("subscriptions", [])
        return enabled and any("disconnectTime" not in one for one in subscriptions)

    def ready(self) -> None:
        """Until everything that was launched is READY."""
        for zone in self.zones.values():
            for part in list(zone.proxies.values()):
                if part.sidecar.program.running:
                    part.ready()

    def logs(self) -> Iterable[tuple[str, str]]:
        """(title, last lines) of every program, for failures."""
        for program in self.lab.programs:
            state = "running" if program.running else f"ended with {program.process.returncode}"
            path = program.log_path.relative_to(self.lab.folder)
            yield f"{path} ({state})", "\n".join(program.log.splitlines()[-25:])

    def _has(self, zone: Zone, mesh: str) -> None:
        """Until the mesh is in the zone as it is on global, and data planes can be given tokens."""
        path = f"/meshes/{mesh}"

        def arrived() -> bool:
            found = zone.get(path)
            key = zone.get(f"{path}/secrets/dataplane-token-signing-key-{mesh}-1")
            return bool(found and key) and found.get("mtls") == self.get(path).get("mtls")

        eventually(arrived, f"the mesh {mesh} in {zone.name}")


@contextlib.contextmanager
def zones(
    folder: Path,
    *names: str,
    meshes: Sequence[Mapping[str, Any]] = (mesh(),),
    top: Mapping[str, str] | None = None,
    zone: Mapping[str, str] | None = None,
) -> Iterator[World]:
    """On loopback. `top` and `zone`: settings of global and of all zones."""
    with relays() as new_relay, lab(folder) as started:
        yield connected_world(started, Loopback(new_relay), names, meshes=meshes, top=top, zone=zone)


def connected_world(
    started: Lab,
    layout: Layout,
    names: Sequence[str],
    *,
    meshes: Sequence[Mapping[str, Any]] = (mesh(),),
    top: Mapping[str, str] | None = None,
    zone: Mapping[str, str] | None = None,
) -> World:
    """All control planes started at once, and the meshes in all zones."""
    world = World(started, layout)
    world.launch_top(**(top or {}))
    for name in names:
        world.launch_zone(name, **(zone or {}))
    world.connected()
    world.put(*meshes)
    return world


def _zone_proxy(kind: str, name: str, place: Place, port: int, **networking: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "name": name,
        "networking": {
            "address": place.address,
            "port": port,
            "admin": {"port": free_port()},
            **networking,
        },
    }


def _dataplane(mesh: str, name: str, place: Place, **networking: Any) -> dict[str, Any]:
    return {
        "type": "Dataplane",
        "mesh": mesh,
        "name": name,
        "networking": {"address": place.address, "admin": {"port": free_port()}, **networking},
    }
