"""State of one connected proxy, and the record of what a batch of changes made different."""

from __future__ import annotations

from collections.abc import Mapping

from kumacp.xds.model import IdentityRequest, IdentitySecret, ProxyMetadata
from kumacp.xds.units import Unit, UnitKey
from kumamesh import xds
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

Touched = Mapping[ResourceKey, Mapping[str, frozenset[str]]]
"""Proxy -> type_url -> names of the resources that are new, different or gone."""


class TouchedRecord:
    """Collects names while a batch is worked through."""

    def __init__(self) -> None:
        self._names: dict[ResourceKey, dict[str, set[str]]] = {}

    def add(self, proxy: ResourceKey, type_url: str, name: str) -> None:
        types = self._names.get(proxy)
        if types is None:
            types = self._names[proxy] = {}
        names = types.get(type_url)
        if names is None:
            types[type_url] = {name}
        else:
            names.add(name)

    def result(self) -> Touched:
        return {
            proxy: {type_url: frozenset(names) for type_url, names in types.items()}
            for proxy, types in self._names.items()
        }


class Proxy:
    """A connected proxy. `dataplane` is None while its Dataplane is not stored: then it keeps what it has."""

    __slots__ = (
        "dataplane",
        "desired",
        "identity",
        "issued",
        "key",
        "metadata",
        "outbounds",
        "own",
        "services",
        "wanted",
    )

    def __init__(self, key: ResourceKey, metadata: ProxyMetadata) -> None:
        self.key = key
        self.metadata = metadata
        self.dataplane: Resource | None = None
        self.own: dict[UnitKey, Unit] = {}
        self.outbounds: dict[UnitKey, Unit] = {}
        self.services: frozenset[str] = frozenset()
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
            touched.add(self.key, type_url, name)

    def drop(self, key: UnitKey, touched: TouchedRecord) -> None:
        type_url, name = key
        del self.desired[type_url][name]
        touched.add(self.key, type_url, name)
