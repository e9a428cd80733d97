"""DNS names as addresses of proxies: Envoy wants IPs, so names are resolved here (kuma-cp 2.1)."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import replace

from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane


def names_in(resource: Resource | None) -> frozenset[str]:
    """The names that must be resolved before a proxy can be configured."""
    if resource is None or not isinstance(resource.spec, Dataplane):
        return frozenset()
    networking = resource.spec.networking
    return frozenset(
        address
        for address in (networking.address, networking.advertised_address)
        if address and not _is_ip(address)
    )


def resolved(resource: Resource, table: Mapping[str, str]) -> Resource | None:
    """The resource with IPs in place of names; None while one of them is not known."""
    names = names_in(resource)
    if not names:
        return resource
    if not names <= table.keys():
        return None
    networking = resource.spec.networking
    update = {
        "address": table.get(networking.address, networking.address),
        "advertised_address": table.get(networking.advertised_address, networking.advertised_address),
    }
    spec = resource.spec.model_copy(update={"networking": networking.model_copy(update=update)})
    return replace(resource, spec=spec)


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
