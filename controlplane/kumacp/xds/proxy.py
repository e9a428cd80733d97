"""State of one connected proxy, and the record of what a batch of changes made different."""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Mapping

from kumacp.xds.destinations import Destination
from kumacp.xds.model import IdentityRequest, IdentitySecret, ProxyMetadata, UnitInput
from kumacp.xds.units import Unit, UnitCache, UnitKey
from kumamesh import xds
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

Touched = Mapping[ResourceKey, Mapping[str, frozenset[str]]]
"""Proxy -> type_url -> names of the resources that are new, different or gone."""


LAYERED = (xds.CLUSTER, xds.ENDPOINT, xds.LISTENER)
"""Types of which a proxy may have resources in common with others."""

_NOTHING: dict[str, XdsResource] = {}


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


class Unrecorded(TouchedRecord):
    """For what nobody is to be told of: a proxy that connects asks for everything anyway."""

    def add(self, proxy: ResourceKey, key: UnitKey) -> None:
        pass


def _collect(last: _Names) -> Mapping[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    names: _Names | None = last
    while names is not None:
        type_url, name = names.key
        found.setdefault(type_url, set()).add(name)
        names = names.before
    return {type_url: frozenset(collected) for type_url, collected in found.items()}


class Connected:
    """A connected proxy, as far as it has resources and is told of them.

    What it has of its own lies upon what it has in common with others, and hides what has the same name
    there.
    """

    __slots__ = ("_below", "_upper", "desired", "key", "metadata")

    def __init__(self, key: ResourceKey, metadata: ProxyMetadata) -> None:
        self.key = key
        self.metadata = metadata
        self._upper: dict[str, dict[str, XdsResource]] = {type_url: {} for type_url in xds.UPDATE_ORDER}
        self._below: Mapping[str, dict[str, XdsResource]] = {}
        self.desired: dict[str, Mapping[str, XdsResource]] = {**self._upper}

    def put(self, unit: Unit, touched: TouchedRecord) -> None:
        type_url, name = unit.key
        names = self._upper[type_url]
        before = names.get(name)
        if before is unit.resource:
            return
        names[name] = unit.resource
        if before is None:
            before = self._beneath(type_url).get(name)
        if before is None or before.version != unit.resource.version:
            touched.add(self.key, unit.key)

    def drop(self, key: UnitKey, touched: TouchedRecord) -> None:
        """Also of what it does not have."""
        type_url, name = key
        before = self._upper[type_url].pop(name, None)
        if before is None:
            return
        after = self._beneath(type_url).get(name)
        if after is None or after.version != before.version:
            touched.add(self.key, key)

    def hides(self, key: UnitKey) -> bool:
        type_url, name = key
        return name in self._upper[type_url]

    def lay_upon(self, below: Mapping[str, dict[str, XdsResource]], touched: TouchedRecord) -> None:
        """Have what is in common with others; what is there is live, and changes of it are told by whoever
        makes them."""
        before, self._below = self._below, below
        for type_url in LAYERED:
            old, new, upper = before.get(type_url, _NOTHING), self._beneath(type_url), self._upper[type_url]
            if old is new:
                continue
            self.desired[type_url] = ChainMap(upper, new) if below else upper
            if isinstance(touched, Unrecorded):
                continue
            for name in old.keys() | new.keys():
                one, other = old.get(name), new.get(name)
                if name not in upper and (one and one.version) != (other and other.version):
                    touched.add(self.key, (type_url, name))

    def hold(
        self,
        units: UnitCache,
        held: Mapping[UnitKey, Unit],
        inputs: Mapping[UnitKey, UnitInput],
        touched: TouchedRecord,
    ) -> dict[UnitKey, Unit]:
        """Have the units of the inputs as its own, in exchange for those held."""
        made: dict[UnitKey, Unit] = {}
        for key, input_ in inputs.items():
            unit = units.replace(held.get(key), input_)
            made[unit.key] = unit
            self.put(unit, touched)
        for key, unit in held.items():
            if key not in made:
                units.release(unit)
                self.drop(key, touched)
        return made

    def _beneath(self, type_url: str) -> dict[str, XdsResource]:
        return self._below.get(type_url, _NOTHING)


class Proxy(Connected):
    """A sidecar. `dataplane` is None while its Dataplane is not stored: then it keeps what it has."""

    __slots__ = (
        "dataplane",
        "destinations",
        "direct",
        "identity",
        "issued",
        "names",
        "outbounds",
        "own",
        "wanted",
    )

    def __init__(self, key: ResourceKey, metadata: ProxyMetadata) -> None:
        super().__init__(key, metadata)
        self.dataplane: Resource | None = None
        self.own: dict[UnitKey, Unit] = {}
        self.outbounds: dict[UnitKey, Unit] = {}
        self.direct: dict[UnitKey, Unit] = {}
        self.names: dict[UnitKey, Unit] = {}
        self.destinations: frozenset[Destination] = frozenset()
        self.wanted: IdentityRequest | None = None
        self.issued: IdentityRequest | None = None
        self.identity: IdentitySecret | None = None

    @property
    def units(self) -> tuple[Unit, ...]:
        """Those that it holds itself."""
        held = (self.own, self.outbounds, self.direct, self.names)
        return tuple(unit for units in held for unit in units.values())
