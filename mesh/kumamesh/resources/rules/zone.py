"""Rules of the proxies at the edge of a zone (kuma-cp 2.2, 2.3)."""

from __future__ import annotations

from kumamesh.resource import Violation
from kumamesh.resources.dataplane import EnvoyAdmin
from kumamesh.resources.rules.common import Violations, check_address, check_port, check_tags
from kumamesh.resources.zone import ZoneEgress, ZoneIngress


def check_zone_ingress(ingress: ZoneIngress) -> Violations:
    networking = ingress.networking
    yield from _check_admin(networking.admin, networking.port)
    if networking.advertised_port and not networking.advertised_address:
        yield Violation("networking.advertisedAddress", "has to be defined with advertisedPort")
    if networking.advertised_address and not networking.advertised_port:
        yield Violation("networking.advertisedPort", "has to be defined with advertisedAddress")
    if networking.address:
        yield from check_address("networking.address", networking.address)
    if networking.advertised_address:
        yield from check_address("networking.advertisedAddress", networking.advertised_address)
    yield from check_port("networking.port", networking.port)
    if networking.advertised_port:
        yield from check_port("networking.advertisedPort", networking.advertised_port)
    for index, service in enumerate(ingress.available_services):
        yield from check_tags(f"availableServices[{index}].tags", service.tags, require_service=True)


def check_zone_egress(egress: ZoneEgress) -> Violations:
    networking = egress.networking
    yield from _check_admin(networking.admin, networking.port)
    if networking.address:
        yield from check_address("networking.address", networking.address)
    yield from check_port("networking.port", networking.port)


def _check_admin(admin: EnvoyAdmin | None, port: int) -> Violations:
    if admin is None or not admin.port:
        return
    yield from check_port("networking.admin.port", admin.port)
    if admin.port == port:
        yield Violation("networking.admin.port", "must differ from port")
