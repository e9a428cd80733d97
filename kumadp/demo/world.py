"""The demo's small world: where everything listens, and the programs by name. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

VIRTUAL_ADDRESSES = "127.240.0.0/16"
"""Every host has them already, and none uses them: so proxies can listen there, and no root is needed."""
PEER = "backend.mesh"
MESH_URL = "/meshes/default"
PERMISSION_URL = "/meshes/default/traffic-permissions/allow-all-default"


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of the demo, free when it starts."""

    api: int
    api_https: int
    dp_server: int
    diagnostics: int
    web_app: int
    web_inbound: int
    web_dns: int
    virtual: int
    """Of all virtual addresses."""
    backend_apps: tuple[int, int]
    backend_inbounds: tuple[int, int]
    readiness: tuple[int, int, int]
    admin: tuple[int, int, int]

    COUNT: ClassVar[int] = 18

    @classmethod
    def from_free(cls, ports: Sequence[int]) -> Ports:
        """Assign COUNT distinct ports."""
        api, api_https, dp_server, diagnostics, web_app, web_inbound, web_dns, virtual, *rest = ports
        apps, inbounds = (rest[0], rest[1]), (rest[2], rest[3])
        readiness, admin = (rest[4], rest[5], rest[6]), (rest[7], rest[8], rest[9])
        single = (api, api_https, dp_server, diagnostics, web_app, web_inbound, web_dns, virtual)
        return cls(*single, apps, inbounds, readiness, admin)


def control_plane_environment(ports: Ports, work_dir: str) -> dict[str, str]:
    """Variables of a `kuma-cp run` that stands alone and listens on loopback, apart from the TLS port."""
    return {
        "KUMA_MODE": "zone",
        "KUMA_DP_SERVER_PORT": str(ports.dp_server),
        **servers(work_dir, ports.api, ports.api_https, ports.diagnostics),
        **virtual_addresses(ports.virtual),
    }


def servers(work_dir: str, api: int, api_https: int, diagnostics: int) -> dict[str, str]:
    """Variables that say where any control plane of the demo keeps its files, and listens for people."""
    return {
        "KUMA_STORE_TYPE": "sqlite",
        "KUMA_GENERAL_WORK_DIR": work_dir,
        "KUMA_API_SERVER_HTTP_INTERFACE": "127.0.0.1",
        "KUMA_API_SERVER_HTTP_PORT": str(api),
        "KUMA_API_SERVER_HTTPS_INTERFACE": "127.0.0.1",
        "KUMA_API_SERVER_HTTPS_PORT": str(api_https),
        "KUMADP_DIAGNOSTICS_SERVER_INTERFACE": "127.0.0.1",
        "KUMA_DIAGNOSTICS_SERVER_PORT": str(diagnostics),
    }


def virtual_addresses(port: int) -> dict[str, str]:
    """Variables that put the virtual addresses where no root is needed."""
    return {"KUMA_DNS_SERVER_CIDR": VIRTUAL_ADDRESSES, "KUMA_DNS_SERVER_SERVICE_VIP_PORT": str(port)}


def web_dataplane(ports: Ports) -> dict[str, Any]:
    """The Dataplane of `web`, which says nothing of `backend`."""
    return dataplane("web-1", "web", inbound=ports.web_inbound, app=ports.web_app, admin=ports.admin[0])


def backend_dataplane(ports: Ports, number: int) -> dict[str, Any]:
    """The Dataplane of an instance of `backend`; `number` is 1 or 2."""
    inbound, app = ports.backend_inbounds[number - 1], ports.backend_apps[number - 1]
    admin = ports.admin[number]
    return dataplane(f"backend-{number}", "backend", inbound=inbound, app=app, admin=admin)


def dataplane(name: str, service: str, *, inbound: int, app: int, admin: int) -> dict[str, Any]:
    """The Dataplane of an HTTP service in the mesh `default`, on loopback."""
    tags = {"kuma.io/service": service, "kuma.io/protocol": "http"}
    return {
        "type": "Dataplane",
        "mesh": "default",
        "name": name,
        "networking": {
            "address": "127.0.0.1",
            "admin": {"port": admin},
            "inbound": [{"port": inbound, "servicePort": app, "tags": tags}],
        },
    }


def mesh(mtls: bool) -> dict[str, Any]:
    """The mesh `default`, with a builtin CA or without mTLS."""
    if not mtls:
        return {"type": "Mesh", "name": "default"}
    backends = [{"name": "ca-1", "type": "builtin"}]
    return {"type": "Mesh", "name": "default", "mtls": {"enabledBackend": "ca-1", "backends": backends}}


def permission(source: str) -> dict[str, Any]:
    """Who may call everything in the mesh; the permission that a new mesh has, with another source."""
    return {
        "type": "TrafficPermission",
        "mesh": "default",
        "name": "allow-all-default",
        "sources": [{"match": {"kuma.io/service": source}}],
        "destinations": [{"match": {"kuma.io/service": "*"}}],
    }
