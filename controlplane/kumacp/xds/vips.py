"""The virtual addresses of one mesh as outbounds, current document by document (contract 6.1).

A document that cannot be read changes nothing: what proxies have stays until there is one that can.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kumacp.vips.entry import VipEntry, VipKey, Vips, parse
from kumacp.vips.names import VipSettings, destinations
from kumacp.xds.facts import At
from kumacp.xds.model import Tags, cluster_name, usable
from kumamesh.names import SERVICE_TAG


@dataclass(frozen=True, slots=True)
class VirtualPort:
    """One port of a virtual address and where it leads: a service, or with `further` tags those of its
    endpoints that have them."""

    address: str
    port: int
    service: str
    further: Tags

    @property
    def tags(self) -> Tags:
        """With kuma.io/service, as outbounds have them."""
        return tuple(sorted(((SERVICE_TAG, self.service), *self.further)))


@dataclass(frozen=True, slots=True)
class VipDelta:
    """What a document made different. `services` are those to which the ports lead, or led before; `names`:
    not only ports, but which names lead where."""

    ports: frozenset[At] = frozenset()
    services: frozenset[str] = frozenset()
    names: bool = False


NO_VIPS = VipDelta()


class MeshVips:
    """Documents are noted one by one; `commit` says what the last one made different. `settings` and the
    entries say which names there are."""

    def __init__(self, settings: VipSettings) -> None:
        self.settings = settings
        self.entries: Vips = {}
        self.ports: Mapping[At, VirtualPort] = {}
        self.fault = ""
        self._services: Mapping[str, tuple[VirtualPort, ...]] = {}
        self._of_entries: dict[VipKey, tuple[VipEntry, tuple[VirtualPort, ...]]] = {}
        self._noted: str | None = None

    def __bool__(self) -> bool:
        return bool(self.entries or self.fault)

    @property
    def services(self) -> frozenset[str]:
        """To which ports lead."""
        return frozenset(self._services)

    def leading_to(self, service: str) -> tuple[VirtualPort, ...]:
        return self._services.get(service, ())

    def note(self, text: str | None) -> None:
        """The document; None when there is none any more."""
        self._noted = text or ""

    def commit(self) -> VipDelta:
        if self._noted is None:
            return NO_VIPS
        text, self._noted = self._noted, None
        try:
            entries = parse(text)
        except ValueError as error:
            self.fault = str(error)
            return NO_VIPS
        self.fault = ""
        if entries == self.entries:
            return NO_VIPS
        before, self.entries = self.ports, entries
        self.ports = self._claimed()
        self._services = _by_service(self.ports)
        changed = {at for at in before.keys() | self.ports.keys() if before.get(at) != self.ports.get(at)}
        ports = (held.get(at) for at in changed for held in (before, self.ports))
        services = frozenset(port.service for port in ports if port is not None)
        return VipDelta(frozenset(changed), services, names=True)

    def _claimed(self) -> dict[At, VirtualPort]:
        """By address and port. Of two entries that have one in common the first by kind and name has it, and
        so of two destinations with one name of cluster."""
        ports: dict[At, VirtualPort] = {}
        clusters: dict[str, tuple[str, Tags]] = {}
        known, self._of_entries = self._of_entries, {}
        for key in sorted(self.entries):
            entry = self.entries[key]
            before = known.get(key)
            found = before[1] if before and before[0] == entry else _ports(entry, self.settings)
            self._of_entries[key] = (entry, found)
            for port in found:
                leads_to = (port.service, port.further)
                if clusters.setdefault(cluster_name(*leads_to), leads_to) == leads_to:
                    ports.setdefault((port.address, port.port), port)
        return ports


def _ports(entry: VipEntry, settings: VipSettings) -> tuple[VirtualPort, ...]:
    found = []
    for port, tags in destinations(entry, settings):
        service = dict(tags).get(SERVICE_TAG, "")
        if usable(service):
            further = tuple(pair for pair in tags if pair[0] != SERVICE_TAG)
            found.append(VirtualPort(entry.address, port, service, further))
    return tuple(found)


def _by_service(ports: Mapping[At, VirtualPort]) -> dict[str, tuple[VirtualPort, ...]]:
    services: dict[str, list[VirtualPort]] = {}
    for port in ports.values():
        services.setdefault(port.service, []).append(port)
    return {service: tuple(found) for service, found in services.items()}
