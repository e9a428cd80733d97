"""State of one connected proxy, and the record of what a batch of changes made different."""

from __future__ import annotations

from collections.abc import Mapping

from kumacp.xds.model import IdentityRequest, IdentitySecret, ProxyMetadata
from kumacp.xds.sidecar import Destination
from kumacp.xds.units import Unit, UnitKey
from kumamesh import xds
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

Touched = Mapping[ResourceKey, Mapping[str, frozenset[str]]]
"""Proxy -> type_url -> names of the resources that are new, different or gone."""


class _Names:
    """The last name of a chain of touched ones."""

    __slots__ = ("before", "key")

    def __init__(self, before: _Names | None, key: UnitKey) -> None:
        self.before = before
        self.key = key


class TouchedRecord:
    """Collects names while a batch is worked through.

    Proxies that are touched in the same names share them: a thousand subscribers of a service cost no
    thousand sets, which would be the greater part of the work, and of the garbage.
    """

    def __init__(self) -> None:
        self._last: dict[ResourceKey, _Names] = {}
        self._next: dict[tuple[int, UnitKey], _Names] = {}

    def add(self, proxy: ResourceKey, key: UnitKey) -> None:
        before = self._last.get(proxy)
        step = (id(before), key)
        names = self._next.get(step)
        if names is None:
            names = self._next[step] = _Names(before, key)
        self._last[proxy] = names

    def result(self) -> Touched:
        collected = {names: _collect(names) for names in set(self._last.values())}
        return {proxy: collected[names] for proxy, names in self._last.items()}


def _collect(last: _Names) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    names: _Names | None = last
    while names is not None:
        type_url, name = names.key
        found.setdefault(type_url, set()).add(name)
        names = names.before
    return {type_url: frozenset(collected) for type_url, collected in found.items()}


class Proxy:
    """A connected proxy. `dataplane` is None while its Dataplane is not stored: then it keeps what it has."""

    __slots__ = (
        "dataplane",
        "desired",
        "destinations",
        "identity",
        "issued",
        "key",
        "metadata",
        "outbounds",
        "own",
        "wanted",
    )

    def __init__(self, key: ResourceKey, metadata: ProxyMetadata) -> None:
        self.key = key
        self.metadata = metadata
        self.dataplane: Resource | None = None
        self.own: dict[UnitKey, Unit] = {}
        self.outbounds: dict[UnitKey, Unit] = {}
        self.destinations: frozenset[Destination] = frozenset()
        self.desired: dict[str, dict[str, XdsResource]] = {type_url: {} for type_url in xds.UPDATE_ORDER}
        self.wanted: IdentityRequest | None = None
        self.issued: IdentityRequest | None = None
        self.identity: IdentitySecret | None = None

    def put(self, unit: Unit, touched: TouchedRecord) -> None:
        type_url, name = unit.key
        names = self.desired[type_url]
        before = names.get(name)
        if before is unit.resource:
            return
        names[name] = unit.resource
        if before is None or before.version != unit.resource.version:
            touched.add(self.key, unit.key)

    def drop(self, key: UnitKey, touched: TouchedRecord) -> None:
        """Also of what it does not have."""
        type_url, name = key
        if self.desired[type_url].pop(name, None) is not None:
            touched.add(self.key, key)
