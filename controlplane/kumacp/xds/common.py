"""What several connected proxies have in common: held once, beneath what each has of its own."""

from __future__ import annotations

from typing import Generic, TypeVar

from kumacp.xds.proxy import LAYERED, Connected, TouchedRecord
from kumacp.xds.units import Unit, UnitKey
from kumamesh.xds import XdsResource

Member = TypeVar("Member", bound=Connected)


class Common(Generic[Member]):
    """`desired` lies beneath what each of the `members` has of its own."""

    def __init__(self) -> None:
        self.members: set[Member] = set()
        self.desired: dict[str, dict[str, XdsResource]] = {type_url: {} for type_url in LAYERED}

    def put(self, unit: Unit, touched: TouchedRecord) -> None:
        type_url, name = unit.key
        before = self.desired[type_url].get(name)
        self.desired[type_url][name] = unit.resource
        self._tell(unit.key, before, unit.resource, touched)

    def drop(self, key: UnitKey, touched: TouchedRecord) -> None:
        """Also of what it does not have."""
        type_url, name = key
        before = self.desired[type_url].pop(name, None)
        self._tell(key, before, None, touched)

    def _tell(
        self, key: UnitKey, before: XdsResource | None, after: XdsResource | None, touched: TouchedRecord
    ) -> None:
        if (before and before.version) == (after and after.version):
            return
        for member in self.members:
            if not member.hides(key):
                touched.add(member.key, key)
