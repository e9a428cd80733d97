"""The demo's steps: what is started, asked and changed, and what must be seen for a step to be done."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kumadp import dns_client
from kumadp.demo import rest_client, world
from kumadp.demo.process import Program, free_ports
from kumadp.demo.table import Table
from kumamesh.errors import UserError

MESH_URL = "/meshes/default"
PERMISSION_URL = "/meshes/default/traffic-permissions/allow-all-default"
REQUESTS = 20
IN_A_ROW = 5


class Story:
    """Runs the steps in order; every program it starts is appended to `programs`, which the caller ends."""

    def __init__(self, folder: Path, programs: list[Program], table: Table) -> None:
        self.folder = folder
        self.programs = programs
        self.table = table
        self.ports = world.Ports.from_free(free_ports(world.Ports.COUNT))
        self.api = f"http://127.0.0.1:{self.ports.api}"
        self.virtual_address = ""
        """Of backend."""
        self.web = f"http://127.0.0.1:{self.ports.web_app}/call"

    def play(self) -> None:
        self._start_control_plane()
        self._start_pair()
        self._look_up()
        self._first_requests()
        self._turn_mtls_on()
        self._deny_and_allow()
        self._scale()

    def _start_control_plane(self) -> None:
        with self.table.step("control plane ready, store in SQLite") as step:
            environ = world.control_plane_environment(self.ports, str(self.folder / "cp"))
            plane = self._start("kuma-cp", ["kumacp", "run"], environ)
            ready = f"http://127.0.0.1:{self.ports.diagnostics}/ready"
            plane.wait_until(lambda: rest_client.request("GET", ready)[0] == 200, "/ready")
            step.result = self.api

    def _start_pair(self) -> None:
        with self.table.step("web and backend with a sidecar each, ready") as step:
            self._start_app("backend-1", self.ports.backend_apps[0])
            ports = self.ports
            self._start_app("web-1", ports.web_app, world.PEER, str(ports.virtual), str(ports.web_dns))
            sidecars = [
                self._start_sidecar(world.backend_dataplane(ports, 1), ports.readiness[1]),
                self._start_sidecar(
                    world.web_dataplane(ports),
                    ports.readiness[0],
                    "--bind-outbounds",
                    f"--dns-proxy-port={ports.web_dns}",
                ),
            ]
            for sidecar, port in sidecars:
                self._wait_ready(sidecar, port)
            step.result = "both Envoys READY"

    def _look_up(self) -> None:
        with self.table.step(f"{world.PEER} looked up at web's sidecar") as step:

            def known() -> bool:
                with contextlib.suppress(UserError):
                    answer = dns_client.lookup(world.PEER, "A", "127.0.0.1", self.ports.web_dns).answer
                    self.virtual_address = answer.records[0].split()[-1] if answer.records else ""
                return self.virtual_address != ""

            self.programs[0].wait_until(known, f"the name {world.PEER}", timeout_s=30.0)
            step.result = f"virtual address {self.virtual_address}"

    def _first_requests(self) -> None:
        with self.table.step(f"web -> http://{world.PEER}:{self.ports.virtual}") as step:
            self._until(lambda status, _: status == 200, "the first answer")
            good = sum(self._call()[0] == 200 for _ in range(REQUESTS))
            if good != REQUESTS:
                raise UserError(f"only {good} of {REQUESTS} requests from web to backend were answered")
            step.result = f"{good} of {REQUESTS} answered through both Envoys, plain text"

    def _turn_mtls_on(self) -> None:
        with self.table.step("mTLS on: first request with a client identity") as step:
            self._put(MESH_URL, world.mesh(mtls=True))
            answer = self._until(lambda _, body: "spiffe://default/web" in body.get("client", ""), "mTLS")
            step.result = next(part for part in answer["client"].split(";") if part.startswith("URI=spiffe"))

    def _deny_and_allow(self) -> None:
        with self.table.step("permission taken from web: requests denied") as step:
            self._put(PERMISSION_URL, world.permission("nobody"))
            step.result = f"HTTP {self._settled(lambda status: status not in (0, 200), 'a refusal')}"
        with self.table.step("permission given back: requests answered") as step:
            self._put(PERMISSION_URL, world.permission("*"))
            step.result = f"HTTP {self._settled(lambda status: status == 200, 'an answer')}"

    def _scale(self) -> None:
        with self.table.step("backend scaled to two instances") as step:
            self._start_app("backend-2", self.ports.backend_apps[1])
            sidecar, port = self._start_sidecar(
                world.backend_dataplane(self.ports, 2), self.ports.readiness[2]
            )
            self._wait_ready(sidecar, port)
            self._until(lambda _, body: body.get("name") == "backend-2", "an answer of backend-2")
            names = [self._call()[1].get("name") for _ in range(REQUESTS)]
            shares = (f"{name} {names.count(name)}" for name in ("backend-1", "backend-2"))
            step.result = f"{REQUESTS} requests: {', '.join(shares)}"

    def _start(self, name: str, module: list[str], environ: dict[str, str]) -> Program:
        program = Program(name, module, environ, self.folder)
        self.programs.append(program)
        return program

    def _start_app(self, name: str, port: int, *peer: str) -> None:
        app = self._start(f"app-{name}", ["kumadp.demo.app", name, str(port), *peer], {})
        url = f"http://127.0.0.1:{port}/"
        app.wait_until(lambda: rest_client.request("GET", url)[0] == 200, "an answer")

    def _start_sidecar(self, dataplane: dict[str, Any], readiness: int, *further: str) -> tuple[Program, int]:
        name = dataplane["name"]
        status, token = rest_client.request(
            "POST", f"{self.api}/tokens/dataplane", {"name": name, "mesh": "default", "validFor": "1h"}
        )
        if status != 200:
            raise UserError(f"the control plane gave no token for {name}: HTTP {status}")
        token_file, resource = self.folder / f"{name}.token", self.folder / f"{name}.yaml"
        token_file.touch(mode=0o600)
        token_file.write_bytes(token)
        resource.write_text(json.dumps(dataplane))
        arguments = [
            "kumadp",
            "run",
            f"--cp-address=https://localhost:{self.ports.dp_server}",
            f"--ca-cert-file={self.folder / 'cp' / 'kuma-cp.crt'}",
            f"--dataplane-file={resource}",
            f"--dataplane-token-file={token_file}",
            "--drain-time=2s",
            *further,
        ]
        return self._start(f"kuma-dp-{name}", arguments, {"KUMA_READINESS_PORT": str(readiness)}), readiness

    def _wait_ready(self, sidecar: Program, port: int) -> None:
        url = f"http://127.0.0.1:{port}/ready"
        sidecar.wait_until(lambda: rest_client.request("GET", url)[0] == 200, "READY")

    def _call(self) -> tuple[int, dict[str, Any]]:
        status, body = rest_client.request("GET", self.web)
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = {}
        return status, parsed if isinstance(parsed, dict) else {}

    def _until(self, good: Callable[[int, dict[str, Any]], bool], what: str) -> dict[str, Any]:
        last: dict[str, Any] = {}

        def seen() -> bool:
            nonlocal last
            status, last = self._call()
            return good(status, last)

        self.programs[0].wait_until(seen, what, timeout_s=30.0)
        return last

    def _settled(self, good: Callable[[int], bool], what: str) -> int:
        """The status once several requests in a row are good: connections that are open when a permission
        changes answer once more by the old one."""
        row: list[int] = []

        def count(status: int, _: dict[str, Any]) -> bool:
            row.append(status) if good(status) else row.clear()
            return len(row) == IN_A_ROW

        self._until(count, what)
        return row[-1]

    def _put(self, path: str, body: dict[str, Any]) -> None:
        status, answer = rest_client.request("PUT", self.api + path, body)
        if status not in (200, 201):
            raise UserError(f"PUT {path} was answered with HTTP {status}: {answer.decode(errors='replace')}")
