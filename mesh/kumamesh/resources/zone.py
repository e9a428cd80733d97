"""Zone and the proxies at its edge (kuma-cp 2.2 to 2.4)."""

from __future__ import annotations

from kumamesh.resources.base import EMPTY, Flag, Spec, Tags, WholeNumber
from kumamesh.resources.dataplane import EnvoyAdmin


class Zone(Spec):
    enabled: Flag | None = None
    """None means enabled."""

    @property
    def is_enabled(self) -> bool:
        return self.enabled is not False


class ZoneIngressNetworking(Spec):
    address: str = ""
    advertised_address: str = ""
    port: WholeNumber = 0
    advertised_port: WholeNumber = 0
    admin: EnvoyAdmin | None = None


class AvailableService(Spec):
    """A service of the zone that other zones may call, with the number of its instances."""

    tags: Tags = EMPTY
    instances: WholeNumber = 0
    mesh: str = ""
    external_service: Flag = False


class ZoneIngress(Spec):
    zone: str = ""
    networking: ZoneIngressNetworking = ZoneIngressNetworking()
    available_services: tuple[AvailableService, ...] = ()

    @property
    def has_public_address(self) -> bool:
        """Whether other zones can reach it."""
        return bool(self.networking.advertised_address and self.networking.advertised_port)


class ZoneEgressNetworking(Spec):
    address: str = ""
    port: WholeNumber = 0
    admin: EnvoyAdmin | None = None


class ZoneEgress(Spec):
    zone: str = ""
    networking: ZoneEgressNetworking = ZoneEgressNetworking()
