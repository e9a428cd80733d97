"""The standard scene of names: a caller behind a transparent proxy, and services on another host.

`caller` is a host whose traffic is redirected to its sidecar; `server` has the control plane, the services
and their sidecars; `elsewhere` belongs to nobody in the mesh. None of them has a way out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lab import ControlPlane, Lab, Program, Sidecar, eventually, free_port, mesh
from redirected_network import AS_KUMA_DP, Host, network, with_resolv_conf

NOWHERE = "nameserver 10.123.0.99\n"
"""A resolv.conf whose server does not exist: who gets an answer was redirected."""
ADMIN = 9901


def service_document(
    name: str, service: str, address: str, *, port: int, app_port: int, protocol: str = "http"
) -> dict[str, Any]:
    """A Dataplane of a service whose clients are redirected, itself not."""
    tags = {"kuma.io/service": service, "kuma.io/protocol": protocol}
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": name,
        "networking": {
            "address": address,
            "admin": {"port": free_port()},
            "inbound": [{"port": port, "servicePort": app_port, "serviceAddress": "127.0.0.1", "tags": tags}],
        },
    }


def caller_document(address: str, **transparent_proxying: Any) -> dict[str, Any]:
    """The Dataplane of `web`: no outbound section. With keywords, its transparentProxying; without, the
    agent tells how traffic is redirected."""
    networking: dict[str, Any] = {
        "address": address,
        "admin": {"port": ADMIN},
        "inbound": [{"port": 8080, "tags": {"kuma.io/service": "web", "kuma.io/protocol": "http"}}],
    }
    if transparent_proxying:
        networking["transparentProxying"] = {
            "redirectPortInbound": 15006,
            "redirectPortOutbound": 15001,
            **transparent_proxying,
        }
    return {"type": "Dataplane", "mesh": "default", "name": "web-1", "networking": networking}


@dataclass
class NamedMesh:
    """What the tests look at."""

    lab: Lab
    plane: ControlPlane
    caller: Host
    server: Host
    elsewhere: Host
    web: Sidecar | None = None
    sidecars: dict[str, Sidecar] = field(default_factory=dict)

    def put(self, document: Mapping[str, Any]) -> None:
        with self.server.inside():
            self.plane.put(document)

    def offer(self, name: str, service: str, *, protocol: str = "http", port: int = 0) -> dict[str, Any]:
        """A service with its application, which answers with `name`; gives its Dataplane."""
        app_port = free_port()
        document = service_document(
            name, service, self.server.address, port=port or free_port(), app_port=app_port, protocol=protocol
        )
        with self.server.inside():
            self.lab.app(protocol, name, app_port)
            self.sidecars[name] = self.lab.sidecar(self.plane, document)
            self.sidecars[name].ready()
        return document

    def serve(self, kind: str, name: str, host: Host, port: int) -> Program:
        """An application that is not in the mesh."""
        with host.inside():
            return self.lab.app(kind, name, port, host.address)

    def redirect(
        self,
        *flags: str,
        document: Mapping[str, Any] | None = None,
        arguments: Sequence[str] = ("--transparent-proxy",),
        resolv_conf: str = NOWHERE,
    ) -> Sidecar:
        """The sidecar of the caller, and its traffic to it."""
        self.caller.redirect("--redirect-all-dns-traffic", *flags)
        document = document or caller_document(self.caller.address)
        self.web = self.start_caller(document, arguments, resolv_conf)
        with self.caller.inside():
            return self.web.ready()

    def start_caller(
        self, document: Mapping[str, Any], arguments: Sequence[str] = (), resolv_conf: str = NOWHERE
    ) -> Sidecar:
        """An agent on the caller, by itself."""
        with self.server.inside():
            token = self.plane.token(document["name"])
        file = self.lab.folder / "resolv.conf"
        file.write_text(resolv_conf)
        with self.caller.inside():
            return self.lab.sidecar(
                self.plane,
                document,
                token=token,
                arguments=arguments,
                cp_address=f"https://{self.server.address}:{self.plane.dp_port}",
                prefix=[*with_resolv_conf(file), *AS_KUMA_DP],
            )

    def curl(self, url: str, *flags: str, host: Host | None = None) -> tuple[int, Any]:
        """(status, parsed body) of a request of a plain program; status 0 when the connection failed."""
        argv = ["curl", "-sS", "--max-time", "10", "-w", "\n%{http_code}", *flags, url]
        done = (host or self.caller).run(*argv, resolv_conf=NOWHERE, check=False)
        body, _, status = done.stdout.rpartition("\n")
        return int(status or 0), json.loads(body) if body.startswith("{") else body

    def answered_by(self, url: str, *flags: str) -> str:
        """The name of the application that answers, "" if none does."""
        _, body = self.curl(url, *flags)
        return str(body["name"]) if isinstance(body, dict) else ""

    def reaches(self, url: str, name: str, *flags: str) -> None:
        """Sooner or later."""
        eventually(lambda: self.answered_by(url, *flags) == name, f"{name} answering {url}")

    def lookup(self, name: str, type_: str = "A") -> list[str]:
        """What dig says, asking whoever: queries are redirected."""
        done = self.caller.run("dig", "+short", "+time=2", name, type_, resolv_conf=NOWHERE, check=False)
        lines = done.stdout.splitlines() if done.returncode == 0 else []
        return sorted(line for line in lines if not line.startswith(";;"))

    def status_of(self, name: str, *flags: str, host: Host | None = None) -> str:
        """The status of an answer, such as NXDOMAIN; "" without one."""
        done = (host or self.caller).run(
            "dig", "+time=2", "+tries=1", *flags, name, resolv_conf=NOWHERE, check=False
        )
        _, found, rest = done.stdout.partition("status: ")
        return rest.partition(",")[0] if found else ""

    def listeners(self) -> set[str]:
        """Names of the listeners of the caller's Envoy."""
        assert self.web is not None
        with self.caller.inside():
            listeners = json.loads(self.web.admin("/listeners?format=json"))["listener_statuses"]
        return {listener["name"] for listener in listeners}


@contextmanager
def named_mesh(lab: Lab, **environ: str) -> Iterator[NamedMesh]:
    """With a STRICT mesh and nothing in it."""
    with network("caller", "server", "elsewhere") as hosts:
        with hosts["server"].inside():
            plane = lab.control_plane(**environ)
            plane.put(mesh())
        yield NamedMesh(lab, plane, hosts["caller"], hosts["server"], hosts["elsewhere"])
