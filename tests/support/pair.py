"""The standard scene: `web` calls `backend` through two real Envoys."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http, mesh


@dataclass
class Pair:
    """What the tests look at; `port` is web's outbound listener for backend."""

    plane: ControlPlane
    web: Sidecar
    backend: Sidecar
    backend_document: dict[str, Any]
    port: int

    @property
    def backend_inbound(self) -> int:
        return int(self.backend_document["networking"]["inbound"][0]["port"])

    def call(self, path: str = "/") -> tuple[int, dict[str, Any]]:
        """(status, parsed body) of a request from web to backend."""
        status, body = http("GET", f"http://127.0.0.1:{self.port}{path}")
        return status, json.loads(body) if body.startswith(b"{") else {}

    def identity(self) -> str:
        """The client identity that backend's application is told, "" without mTLS."""
        header = self.call()[1].get("headers", {}).get("x-forwarded-client-cert", "")
        return next((part[4:] for part in header.split(";") if part.startswith("URI=spiffe")), "")


def start_pair(
    lab: Lab,
    *,
    mode: str | None = "STRICT",
    protocol: str = "http",
    expiration: str = "",
    wait: bool = True,
    **environ: str,
) -> Pair:
    """Control plane, mesh, application and the two sidecars; with `wait`, until a first request passes."""
    plane = lab.control_plane(**environ)
    plane.put(mesh(mode=mode, expiration=expiration))
    app_port, port = free_port(), free_port()
    lab.app(protocol, "backend-1", app_port)
    document = dataplane("backend-1", "backend", app_port=app_port, protocol=protocol)
    backend = lab.sidecar(plane, document)
    web = lab.sidecar(plane, dataplane("web-1", "web", app_port=free_port(), outbounds={"backend": port}))
    pair = Pair(plane, web.ready(), backend.ready(), document, port)
    if wait and protocol == "http":
        eventually(lambda: pair.call()[0] == 200, "a first request from web to backend")
    return pair
