"""Starts the demo's programs and waits for them: what every story needs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kumadp import dns_client
from kumadp.demo import rest_client
from kumadp.demo.process import Program
from kumamesh.errors import UserError

IN_A_ROW = 5


@dataclass(frozen=True, slots=True)
class ControlPlane:
    """A running `kuma-cp`. `dp_server` is 0 for a global one, which proxies do not connect to."""

    program: Program
    api: str
    dp_server: int
    diagnostics: int
    certificate: Path

    def wait_ready(self) -> None:
        url = f"http://127.0.0.1:{self.diagnostics}/ready"
        self.program.wait_until(lambda: rest_client.request("GET", url)[0] == 200, "/ready")

    def put(self, path: str, body: dict[str, Any]) -> None:
        """Create or replace a resource; UserError with the answer when it is refused."""
        status, answer = rest_client.request("PUT", self.api + path, body)
        if status not in (200, 201):
            raise UserError(f"PUT {path} was answered with HTTP {status}: {answer.decode(errors='replace')}")

    def token(self, path: str, claims: dict[str, Any]) -> bytes:
        """A new token; UserError when the control plane gives none."""
        status, token = rest_client.request("POST", f"{self.api}/tokens/{path}", claims)
        if status != 200:
            raise UserError(f"the control plane gave no {path} token: HTTP {status}")
        return token


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running `kuma-dp` with its Envoy."""

    program: Program
    readiness: int

    def wait_ready(self) -> None:
        url = f"http://127.0.0.1:{self.readiness}/ready"
        self.program.wait_until(lambda: rest_client.request("GET", url)[0] == 200, "READY")


class Stage:
    """Every program it starts is appended to `programs`, which the caller ends."""

    def __init__(self, folder: Path, programs: list[Program]) -> None:
        self.folder = folder
        self.programs = programs

    def start(self, name: str, module: list[str], environ: Mapping[str, str]) -> Program:
        program = Program(name, module, environ, self.folder)
        self.programs.append(program)
        return program

    def start_control_plane(self, name: str, environ: Mapping[str, str]) -> ControlPlane:
        """It is not waited for; `environ` says where it listens."""
        return ControlPlane(
            self.start(name, ["kumacp", "run"], environ),
            api=f"http://127.0.0.1:{environ['KUMA_API_SERVER_HTTP_PORT']}",
            dp_server=int(environ.get("KUMA_DP_SERVER_PORT", "0")),
            diagnostics=int(environ["KUMA_DIAGNOSTICS_SERVER_PORT"]),
            certificate=Path(environ["KUMA_GENERAL_WORK_DIR"]) / "kuma-cp.crt",
        )

    def start_app(self, name: str, port: int, *peer: str) -> Program:
        """Answers when this returns."""
        app = self.start(f"app-{name}", ["kumadp.demo.app", name, str(port), *peer], {})
        url = f"http://127.0.0.1:{port}/"
        app.wait_until(lambda: rest_client.request("GET", url)[0] == 200, "an answer")
        return app

    def start_proxy(
        self,
        plane: ControlPlane,
        resource: dict[str, Any],
        token: bytes,
        readiness: int,
        *further: str,
    ) -> Proxy:
        """With its Envoy; the resource and the token go into files that this user alone can read."""
        name = resource["name"]
        token_file, resource_file = self.folder / f"{name}.token", self.folder / f"{name}.yaml"
        token_file.touch(mode=0o600)
        token_file.write_bytes(token)
        resource_file.write_text(json.dumps(resource))
        arguments = [
            "kumadp",
            "run",
            f"--cp-address=https://localhost:{plane.dp_server}",
            f"--ca-cert-file={plane.certificate}",
            f"--dataplane-file={resource_file}",
            f"--dataplane-token-file={token_file}",
            "--drain-time=2s",
            *further,
        ]
        program = self.start(f"kuma-dp-{name}", arguments, {"KUMA_READINESS_PORT": str(readiness)})
        return Proxy(program, readiness)

    def start_sidecar(
        self, plane: ControlPlane, dataplane: dict[str, Any], readiness: int, *further: str
    ) -> Proxy:
        """Of a service in the mesh `default`."""
        claims = {"name": dataplane["name"], "mesh": "default", "validFor": "1h"}
        return self.start_proxy(plane, dataplane, plane.token("dataplane", claims), readiness, *further)


def look_up(name: str, dns_port: int, program: Program) -> str:
    """The virtual address of the name, once the sidecar knows it; `program` is whose end ends the waiting."""
    found = ""

    def known() -> bool:
        nonlocal found
        with contextlib.suppress(UserError):
            answer = dns_client.lookup(name, "A", "127.0.0.1", dns_port).answer
            found = answer.records[0].split()[-1] if answer.records else ""
        return found != ""

    program.wait_until(known, f"the name {name}", timeout_s=30.0)
    return found


class Caller:
    """Asks the demo's client, again and again; `program` is whose end ends the waiting."""

    def __init__(self, url: str, program: Program) -> None:
        self.url = url
        self._program = program

    def call(self) -> tuple[int, dict[str, Any]]:
        """Status and answer of one request that the client passes on to its peer."""
        status, body = rest_client.request("GET", self.url)
        try:
            parsed = json.loads(body)
        except ValueError:
            parsed = {}
        return status, parsed if isinstance(parsed, dict) else {}

    def names(self, count: int) -> list[str]:
        """Who answered so many requests; "" stands for one that failed."""
        answers = (self.call() for _ in range(count))
        return [body.get("name", "") if status == 200 else "" for status, body in answers]

    def until(self, good: Callable[[int, dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """The first answer that is good."""
        last: dict[str, Any] = {}

        def seen() -> bool:
            nonlocal last
            status, last = self.call()
            return good(status, last)

        self._program.wait_until(seen, what, timeout_s=30.0)
        return last

    def settled(self, good: Callable[[int], bool], what: str) -> int:
        """The status once several requests in a row are good: connections that are open when a permission
        changes answer once more by the old one."""
        row: list[int] = []

        def count(status: int, _: dict[str, Any]) -> bool:
            row.append(status) if good(status) else row.clear()
            return len(row) == IN_A_ROW

        self.until(count, what)
        return row[-1]
