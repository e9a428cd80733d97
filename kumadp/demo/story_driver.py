"""The demo's steps: what is started, asked and changed, and what must be seen for a step to be done."""

from __future__ import annotations

from pathlib import Path

from kumadp.demo import world
from kumadp.demo.process import Program, free_ports
from kumadp.demo.stage_driver import Caller, ControlPlane, Stage, look_up
from kumadp.demo.table import Table
from kumamesh.errors import UserError

REQUESTS = 20


class Story:
    """One zone. Runs the steps in order; the caller ends the `programs`."""

    def __init__(self, folder: Path, programs: list[Program], table: Table) -> None:
        self.folder = folder
        self._stage = Stage(folder, programs)
        self._table = table
        self.ports = world.Ports.from_free(free_ports(world.Ports.COUNT))
        self.virtual_address = ""
        """Of backend."""

    def play(self) -> None:
        plane = self._start_control_plane()
        caller = Caller(self.web, plane.program)
        self._start_pair(plane)
        self._look_up(plane)
        self._first_requests(caller)
        self._turn_mtls_on(plane, caller)
        self._deny_and_allow(plane, caller)
        self._scale(plane, caller)

    @property
    def web(self) -> str:
        """Where a request makes the client call its peer."""
        return f"http://127.0.0.1:{self.ports.web_app}/call"

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.ports.api}"

    def _start_control_plane(self) -> ControlPlane:
        with self._table.step("control plane ready, store in SQLite") as step:
            environ = world.control_plane_environment(self.ports, str(self.folder / "cp"))
            plane = self._stage.start_control_plane("kuma-cp", environ)
            plane.wait_ready()
            step.result = plane.api
        return plane

    def _start_pair(self, plane: ControlPlane) -> None:
        with self._table.step("web and backend with a sidecar each, ready") as step:
            ports = self.ports
            self._stage.start_app("backend-1", ports.backend_apps[0])
            self._stage.start_app("web-1", ports.web_app, world.PEER, str(ports.virtual), str(ports.web_dns))
            sidecars = [
                self._stage.start_sidecar(plane, world.backend_dataplane(ports, 1), ports.readiness[1]),
                self._stage.start_sidecar(
                    plane,
                    world.web_dataplane(ports),
                    ports.readiness[0],
                    "--bind-outbounds",
                    f"--dns-proxy-port={ports.web_dns}",
                ),
            ]
            for sidecar in sidecars:
                sidecar.wait_ready()
            step.result = "both Envoys READY"

    def _look_up(self, plane: ControlPlane) -> None:
        with self._table.step(f"{world.PEER} looked up at web's sidecar") as step:
            self.virtual_address = look_up(world.PEER, self.ports.web_dns, plane.program)
            step.result = f"virtual address {self.virtual_address}"

    def _first_requests(self, caller: Caller) -> None:
        with self._table.step(f"web -> http://{world.PEER}:{self.ports.virtual}") as step:
            caller.until(lambda status, _: status == 200, "the first answer")
            good = sum(map(bool, caller.names(REQUESTS)))
            if good != REQUESTS:
                raise UserError(f"only {good} of {REQUESTS} requests from web to backend were answered")
            step.result = f"{good} of {REQUESTS} answered through both Envoys, plain text"

    def _turn_mtls_on(self, plane: ControlPlane, caller: Caller) -> None:
        with self._table.step("mTLS on: first request with a client identity") as step:
            plane.put(world.MESH_URL, world.mesh(mtls=True))
            answer = caller.until(lambda _, body: "spiffe://default/web" in body.get("client", ""), "mTLS")
            step.result = next(part for part in answer["client"].split(";") if part.startswith("URI=spiffe"))

    def _deny_and_allow(self, plane: ControlPlane, caller: Caller) -> None:
        with self._table.step("permission taken from web: requests denied") as step:
            plane.put(world.PERMISSION_URL, world.permission("nobody"))
            step.result = f"HTTP {caller.settled(lambda status: status not in (0, 200), 'a refusal')}"
        with self._table.step("permission given back: requests answered") as step:
            plane.put(world.PERMISSION_URL, world.permission("*"))
            step.result = f"HTTP {caller.settled(lambda status: status == 200, 'an answer')}"

    def _scale(self, plane: ControlPlane, caller: Caller) -> None:
        with self._table.step("backend scaled to two instances") as step:
            self._stage.start_app("backend-2", self.ports.backend_apps[1])
            dataplane = world.backend_dataplane(self.ports, 2)
            self._stage.start_sidecar(plane, dataplane, self.ports.readiness[2]).wait_ready()
            caller.until(lambda _, body: body.get("name") == "backend-2", "an answer of backend-2")
            names = caller.names(REQUESTS)
            shares = (f"{name} {names.count(name)}" for name in ("backend-1", "backend-2"))
            step.result = f"{REQUESTS} requests: {', '.join(shares)}"
