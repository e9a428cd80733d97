"""What is known of one service of a mesh, derived anew when something of it changes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import NamedTuple

from kumacp.xds.external import ExternalFacts
from kumacp.xds.facts import DEFAULT_PROTOCOL, At, Offer, common_protocol
from kumacp.xds.model import Endpoint, Tags
from kumacp.xds.remote import RemoteInstances
from kumamesh.names import SERVICE_TAG


class Reach(NamedTuple):
    """All that the endpoints of a service are made of: healthy ones of this zone, sorted by address and port,
    instances of other zones that can be called, and ExternalServices. `egresses` are those through which the
    latter two are reached, None if they are called themselves."""

    local: tuple[Endpoint, ...] = ()
    remote: tuple[RemoteInstances, ...] = ()
    external: ExternalFacts | None = None
    egresses: tuple[Endpoint, ...] | None = None


class ServiceState:
    """Who offers a service, how many Dataplanes have outbounds to it; that virtual addresses lead to it
    counts as one more. What is derived of that stays for a while when nobody offers it any more."""

    __slots__ = ("is_external", "members", "protocol", "reach", "references", "tls_ready")

    def __init__(self) -> None:
        self.members: dict[str, tuple[Offer, ...]] = {}
        self.references = 0
        self.protocol = DEFAULT_PROTOCOL
        self.tls_ready = False
        self.reach = Reach()
        self.is_external = False

    def offers(self) -> Iterator[Offer]:
        for offered in self.members.values():
            yield from offered

    def healthy(self, warming: Collection[str]) -> tuple[Endpoint, ...]:
        """Those of this zone, but of `warming` Dataplanes."""
        found = (
            offer.endpoint
            for name, offered in self.members.items()
            for offer in offered
            if offer.endpoint and name not in warming
        )
        return tuple(sorted(found, key=lambda at: (at.address, at.port, at.tags)))

    def exposed(self, service: str, warming: Collection[str]) -> Mapping[Tags, int]:
        """How many healthy instances there are with each full set of tags, of those that somebody offers; two
        that say that they are at one address and port are one."""
        found: dict[Tags, set[At]] = {}
        for name, offered in self.members.items():
            for offer in offered:
                healthy = found.setdefault(offer.tags, set())
                if offer.endpoint and name not in warming:
                    healthy.add((offer.endpoint.address, offer.endpoint.port))
        return {
            tuple(sorted(((SERVICE_TAG, service), *tags))): len(healthy) for tags, healthy in found.items()
        }

    def infer_protocol(self, remote: tuple[RemoteInstances, ...]) -> None:
        """What all who are called speak. Instances of other zones that cannot be called now still tell what
        a service is that nobody else offers."""
        told = [offer.protocol for offer in self.offers()]
        for one in self.reach.remote or (() if told else remote):
            told.append(one.protocol)
        if told:
            self.protocol = common_protocol(told)
        elif self.reach.external is not None:
            self.protocol = self.reach.external.protocol
