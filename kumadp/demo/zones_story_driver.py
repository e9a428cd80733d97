"""The demo with several zones: a call from one zone to another, and what goes on when parts die."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from kumadp.demo import rest_client, world, zones_world
from kumadp.demo.process import Program, free_ports
from kumadp.demo.stage_driver import Caller, ControlPlane, Proxy, Stage, look_up
from kumadp.demo.table import Table
from kumadp.demo.zones_world import backend_name, zone_name

REQUESTS = 40
FAILED_OVER = 10
"""So many answers in a row from another zone: then the calls have moved."""


class ZonesStory:
    """One client in the first zone, and an instance of `backend` in each."""

    def __init__(self, zones: int, folder: Path, programs: list[Program], table: Table) -> None:
        self.folder = folder
        self._numbers = range(1, zones + 1)
        self._stage = Stage(folder, programs)
        self._table = table
        self.ports = zones_world.Ports.from_free(free_ports(zones_world.needed(zones)))
        self.virtual_address = ""
        """Of backend, in the first zone."""
        self._backends: dict[int, tuple[Program, Proxy]] = {}

    def play(self) -> None:
        globe = self._start_global()
        planes = self._join_zones(globe)
        self._turn_mtls_on(globe, planes)
        self._start_ingresses(globe, planes)
        self._start_services(planes)
        caller = Caller(self.web, planes[1].program)
        self._look_up(planes[1])
        self._call_across(caller)
        self._start_near_backend(planes[1], caller)
        self._kill_global(globe, caller)
        self._kill_near_backend(caller)
        self._bring_global_back()

    @property
    def web(self) -> str:
        """Where a request makes the client call its peer."""
        return f"http://127.0.0.1:{self.ports.client.app}/call"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports.globe.api}"

    def _start_global(self) -> ControlPlane:
        with self._table.step("global control plane ready") as step:
            plane = self._start_global_program()
            step.result = plane.api
        return plane

    def _start_global_program(self) -> ControlPlane:
        environ = zones_world.global_environment(self.ports.globe, str(self.folder / "global"))
        plane = self._stage.start_control_plane("kuma-cp-global", environ)
        plane.wait_ready()
        return plane

    def _join_zones(self, globe: ControlPlane) -> dict[int, ControlPlane]:
        with self._table.step("a control plane in each zone, joined") as step:
            planes = {}
            for number in self._numbers:
                name = zone_name(number)
                work_dir = str(self.folder / name)
                environ = zones_world.zone_environment(number, self.ports, work_dir, str(globe.certificate))
                planes[number] = self._stage.start_control_plane(f"kuma-cp-{name}", environ)
            for plane in planes.values():
                plane.wait_ready()
            self._wait_online(globe)
            step.result = ", ".join(f"{zone_name(number)} Online" for number in self._numbers)
        return planes

    def _wait_online(self, globe: ControlPlane) -> None:
        wanted = {zone_name(number) for number in self._numbers}
        globe.program.wait_until(lambda: wanted <= self._online(), "zones Online", timeout_s=60.0)

    def _online(self) -> set[str]:
        overview = rest_client.get_json(f"{self.api}/zones/_overview") or {"items": []}
        return {
            zone["name"]
            for zone in overview["items"]
            if any(
                subscription.get("connectTime") and not subscription.get("disconnectTime")
                for subscription in zone.get("zoneInsight", {}).get("subscriptions", ())
            )
        }

    def _turn_mtls_on(self, globe: ControlPlane, planes: dict[int, ControlPlane]) -> None:
        with self._table.step("mTLS on: at global, known in every zone") as step:
            globe.put(world.MESH_URL, world.mesh(mtls=True))
            for plane in planes.values():
                plane.program.wait_until(partial(_has_mtls, plane.api), "mTLS of the mesh")
            step.result = "own CA, 1 certificate per workload"

    def _start_ingresses(self, globe: ControlPlane, planes: dict[int, ControlPlane]) -> None:
        with self._table.step("a zone ingress in each zone, ready") as step:
            proxies = []
            for number in self._numbers:
                own = self.ports.zones[number - 1]
                claims = {"zone": zone_name(number), "scope": ["ingress"], "validFor": "1h"}
                resource, token = zones_world.ingress(number, own), globe.token("zone", claims)
                proxies.append(
                    self._stage.start_proxy(
                        planes[number], resource, token, own.ingress_readiness, "--proxy-type=ingress"
                    )
                )
            for proxy in proxies:
                proxy.wait_ready()
            step.result = ", ".join(f"127.0.0.1:{zone.ingress}" for zone in self.ports.zones)

    def _start_services(self, planes: dict[int, ControlPlane]) -> None:
        with self._table.step("web in zone-1, backend in the other zones") as step:
            client = self.ports.client
            self._stage.start_app("web-1", client.app, world.PEER, str(client.virtual), str(client.dns))
            options = ("--bind-outbounds", f"--dns-proxy-port={client.dns}")
            web = self._stage.start_sidecar(planes[1], zones_world.web(client), client.readiness, *options)
            for number in self._numbers[1:]:
                self._start_backend(number, planes[number])
            for proxy in (web, *(proxy for _, proxy in self._backends.values())):
                proxy.wait_ready()
            step.result = "all Envoys READY"

    def _start_backend(self, number: int, plane: ControlPlane) -> Proxy:
        own = self.ports.zones[number - 1]
        app = self._stage.start_app(backend_name(number), own.app)
        proxy = self._stage.start_sidecar(plane, zones_world.backend(number, own), own.readiness)
        self._backends[number] = (app, proxy)
        return proxy

    def _look_up(self, plane: ControlPlane) -> None:
        with self._table.step(f"{world.PEER} looked up in zone-1") as step:
            self.virtual_address = look_up(world.PEER, self.ports.client.dns, plane.program)
            step.result = f"virtual address {self.virtual_address}"

    def _call_across(self, caller: Caller) -> None:
        with self._table.step(f"web -> http://{world.PEER}:{self.ports.client.virtual}") as step:
            answer = caller.until(lambda status, _: status == 200, "the first answer of another zone")
            identity = next(part for part in answer["client"].split(";") if part.startswith("URI="))
            step.result = f"{_shares(caller.names(REQUESTS))}; the caller is {identity}"

    def _start_near_backend(self, plane: ControlPlane, caller: Caller) -> None:
        with self._table.step("backend started in zone-1, too") as step:
            self._start_backend(1, plane).wait_ready()
            caller.until(lambda _, body: body.get("name") == backend_name(1), "an answer of zone-1")
            step.result = _shares(caller.names(REQUESTS))

    def _kill_global(self, globe: ControlPlane, caller: Caller) -> None:
        with self._table.step("global control plane killed: calls go on") as step:
            globe.program.kill()
            step.result = _shares(caller.names(REQUESTS))

    def _kill_near_backend(self, caller: Caller) -> None:
        with self._table.step("backend of zone-1 killed: others take over") as step:
            app, proxy = self._backends[1]
            proxy.program.kill()
            app.kill()
            names: list[str] = []

            def moved() -> bool:
                names.extend(caller.names(1))
                return len(names) >= FAILED_OVER and all(
                    name not in ("", backend_name(1)) for name in names[-FAILED_OVER:]
                )

            self._wait(moved, "answers of other zones")
            step.result = (
                f"{names.count('')} of {len(names)} failed until then; then {_shares(caller.names(REQUESTS))}"
            )

    def _bring_global_back(self) -> None:
        with self._table.step("global back: zones join again") as step:
            globe = self._start_global_program()
            self._wait_online(globe)
            step.result = ", ".join(f"{zone_name(number)} Online" for number in self._numbers)

    def _wait(self, condition: Callable[[], bool], what: str) -> None:
        self._backends[self._numbers[-1]][1].program.wait_until(condition, what, timeout_s=60.0)


def _has_mtls(api: str) -> bool:
    status, body = rest_client.request("GET", api + world.MESH_URL)
    return status == 200 and bool(json.loads(body).get("mtls", {}).get("enabledBackend"))


def _shares(names: Iterable[str]) -> str:
    """How many of the requests each instance answered."""
    counts: dict[str, int] = {}
    total = 0
    for name in names:
        total += 1
        counts[name or "FAILED"] = counts.get(name or "FAILED", 0) + 1
    shares = (f"{name} {count}" for name, count in sorted(counts.items()))
    return f"{total} requests: {', '.join(shares)}"
