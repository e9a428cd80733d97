"""The world of the demo with several zones: what listens where, and the resources. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from kumadp.demo import world


@dataclass(frozen=True, slots=True)
class GlobalPorts:
    """Of the global control plane."""

    api: int
    api_https: int
    diagnostics: int
    kds: int

    COUNT: ClassVar[int] = 4


@dataclass(frozen=True, slots=True)
class ZonePorts:
    """Of everything in one zone, but for the client."""

    api: int
    api_https: int
    diagnostics: int
    dp_server: int
    ingress: int
    ingress_readiness: int
    ingress_admin: int
    app: int
    inbound: int
    readiness: int
    admin: int

    COUNT: ClassVar[int] = 11


@dataclass(frozen=True, slots=True)
class ClientPorts:
    """Of the client `web`, which is in the first zone."""

    app: int
    inbound: int
    dns: int
    virtual: int
    readiness: int
    admin: int

    COUNT: ClassVar[int] = 6


@dataclass(frozen=True, slots=True)
class Ports:
    """All ports of the demo, free when it starts."""

    globe: GlobalPorts
    client: ClientPorts
    zones: tuple[ZonePorts, ...]

    @classmethod
    def from_free(cls, ports: Sequence[int]) -> Ports:
        """Assign as many distinct ports as `needed` says."""
        rest = iter(ports)
        globe = GlobalPorts(*_take(rest, GlobalPorts.COUNT))
        client = ClientPorts(*_take(rest, ClientPorts.COUNT))
        zones = (len(ports) - GlobalPorts.COUNT - ClientPorts.COUNT) // ZonePorts.COUNT
        return cls(globe, client, tuple(ZonePorts(*_take(rest, ZonePorts.COUNT)) for _ in range(zones)))


def needed(zones: int) -> int:
    """How many ports so many zones take."""
    return GlobalPorts.COUNT + ClientPorts.COUNT + zones * ZonePorts.COUNT


def zone_name(number: int) -> str:
    """Zones are counted from 1."""
    return f"zone-{number}"


def global_environment(ports: GlobalPorts, work_dir: str) -> dict[str, str]:
    """Variables of the global `kuma-cp run`."""
    return {
        "KUMA_MODE": "global",
        "KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT": str(ports.kds),
        **world.servers(work_dir, ports.api, ports.api_https, ports.diagnostics),
    }


def zone_environment(number: int, ports: Ports, work_dir: str, global_certificate: str) -> dict[str, str]:
    """Variables of a zone's `kuma-cp run`."""
    own = ports.zones[number - 1]
    return {
        "KUMA_MODE": "zone",
        "KUMA_MULTIZONE_ZONE_NAME": zone_name(number),
        "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS": f"grpcs://localhost:{ports.globe.kds}",
        "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE": global_certificate,
        "KUMA_DP_SERVER_PORT": str(own.dp_server),
        **world.servers(work_dir, own.api, own.api_https, own.diagnostics),
        **world.virtual_addresses(ports.client.virtual),
    }


def ingress(number: int, ports: ZonePorts) -> dict[str, Any]:
    """The ZoneIngress of a zone; the others reach it where the zone itself does, on loopback."""
    return {
        "type": "ZoneIngress",
        "name": f"ingress-{zone_name(number)}",
        "networking": {
            "address": "127.0.0.1",
            "port": ports.ingress,
            "advertisedAddress": "127.0.0.1",
            "advertisedPort": ports.ingress,
            "admin": {"port": ports.ingress_admin},
        },
    }


def backend(number: int, ports: ZonePorts) -> dict[str, Any]:
    """The Dataplane of the instance of `backend` in a zone."""
    name = backend_name(number)
    return world.dataplane(name, "backend", inbound=ports.inbound, app=ports.app, admin=ports.admin)


def backend_name(number: int) -> str:
    """Of the instance in a zone, and of its application, which answers so."""
    return f"backend-{zone_name(number)}"


def web(ports: ClientPorts) -> dict[str, Any]:
    """The Dataplane of the client."""
    return world.dataplane("web-1", "web", inbound=ports.inbound, app=ports.app, admin=ports.admin)


def _take(ports: Iterator[int], count: int) -> Iterator[int]:
    return (next(ports) for _ in range(count))
