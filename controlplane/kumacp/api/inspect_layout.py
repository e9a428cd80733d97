"""The inbounds and outbounds of a Dataplane with their identifiers (contract 9.4)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kumacp.xds.facts import DEFAULT_PROTOCOL, common_protocol, offers, serving_inbounds
from kumamesh import names
from kumamesh.kri import kri_of
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound

_DESTINATIONS = ("msvc", "extsvc", "mzsvc")
"""Short names of what has an identifier as a destination."""


class NoIdentifier(ValueError):
    """The text is not the identifier of what the path is about."""


def service_protocols(dataplanes: Iterable[Resource], zone: str) -> dict[str, str]:
    """The protocol of each service, as all who offer it speak it."""
    spoken: dict[str, list[str]] = {}
    for dataplane in dataplanes:
        for service, offered in offers(dataplane.spec, zone).items():
            spoken.setdefault(service, []).extend(offer.protocol for offer in offered)
    return {service: common_protocol(protocols) for service, protocols in spoken.items()}


def layout_document(dataplane: Resource, protocols: Mapping[str, str]) -> dict[str, Any]:
    """`dataplanes/<name>/_layout`; `protocols` are those of services. Outbounds to a `kuma.io/service` have
    no identifier: they stand under the name of their listener."""
    networking = dataplane.spec.networking
    inbounds = [
        {
            "kri": _inbound_kri(dataplane, inbound),
            "port": inbound.port,
            "protocol": inbound.protocol_name,
            "proxyResourceName": names.inbound_listener(networking.inbound_address(inbound), inbound.port),
        }
        for inbound in serving_inbounds(dataplane.spec)
    ]
    outbounds = [
        {
            "kri": "",
            "port": outbound.port,
            "protocol": protocols.get(outbound.service, DEFAULT_PROTOCOL),
            "proxyResourceName": names.outbound_listener(outbound.address, outbound.port),
        }
        for outbound in networking.outbound
    ]
    return {
        "kri": kri_of(dataplane),
        "labels": dict(dataplane.labels),
        "inbounds": inbounds,
        "outbounds": outbounds,
    }


def inbound_of_kri(dataplane: Resource, kri: str) -> Inbound | None:
    """None when the Dataplane has no such inbound; raises NoIdentifier."""
    if _type(kri) != "dp":
        raise NoIdentifier(
            "an inbound has an identifier of the form kri_dp_<mesh>_<zone>_<namespace>_<name>_<port>"
        )
    inbounds = serving_inbounds(dataplane.spec)
    return next((inbound for inbound in inbounds if _inbound_kri(dataplane, inbound) == kri), None)


def check_outbound_kri(kri: str) -> None:
    """Raises NoIdentifier."""
    if _type(kri) not in _DESTINATIONS:
        kinds = ", ".join(_DESTINATIONS)
        raise NoIdentifier(
            f"an outbound has an identifier of the form kri_<type>_..., with a type of {kinds}"
        )


def _type(kri: str) -> str:
    parts = kri.split("_")
    return parts[1] if len(parts) >= 7 and parts[0] == "kri" else ""


def _inbound_kri(dataplane: Resource, inbound: Inbound) -> str:
    return kri_of(dataplane, inbound.name or str(inbound.port))
