"""DNS names as addresses of proxies: Envoy wants IPs, so names are resolved here (kuma-cp 2.1).

Of an ingress of another zone only the address counts that it advertises, of one of this zone only the one
that it listens at: what other zones know it by need not mean anything here.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from kumacp.xds.remote import is_remote
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.zone import ZoneEgress, ZoneIngress


def names_in(resource: Resource | None, zone: str = "") -> frozenset[str]:
    """The names that must be resolved before `zone` can use a proxy."""
    if resource is None:
        return frozenset()
    networking = [getattr(resource.spec.networking, field) for field in _fields(resource, zone)]
    return frozenset(address for address in networking if address and not _is_ip(address))


def resolved(resource: Resource, table: Mapping[str, str], zone: str = "") -> Resource | None:
    """The resource with IPs in place of names; None while one of them is not known. An ingress of another
    zone stays, as one that advertises nothing."""
    names = names_in(resource, zone)
    if not names:
        return resource
    elsewhere = isinstance(resource.spec, ZoneIngress) and is_remote(resource.spec, zone)
    if not (elsewhere or names <= table.keys()):
        return None
    known = {name: table.get(name, "") for name in names}
    networking = resource.spec.networking
    fields = {field: getattr(networking, field) for field in _fields(resource, zone)}
    update = {field: known.get(address, address) for field, address in fields.items()}
    spec = resource.spec.model_copy(update={"networking": networking.model_copy(update=update)})
    return replace(resource, spec=spec)


def _fields(resource: Resource, zone: str) -> tuple[str, ...]:
    """Those of its networking that hold an address which somebody of the zone uses."""
    match resource.spec:
        case Dataplane():
            return ("address", "advertised_address")
        case ZoneIngress():
            return ("advertised_address",) if is_remote(resource.spec, zone) else ("address",)
        case ZoneEgress():
            return () if is_remote(resource.spec, zone) else ("address",)
    return ()


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
