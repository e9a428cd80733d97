"""Built resources by content: equal inputs are built and serialised once, for all (DESIGN.md 3.8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from kumacp.xds.model import UnitInput
from kumamesh.xds import XdsResource

UnitKey = tuple[str, str]
"""(type_url, name)."""


class Unit:
    """One built resource and how many hold it. `key` is shared by all of them, to save memory."""

    __slots__ = ("input", "key", "resource", "users")

    def __init__(self, input_: UnitInput, resource: XdsResource) -> None:
        self.input = input_
        self.resource = resource
        self.key: UnitKey = (resource.type_url, resource.name)
        self.users = 0


class UnitCache:
    """Every unit in use; a unit that nobody holds any more is forgotten at once."""

    def __init__(self, build: Callable[[UnitInput], XdsResource]) -> None:
        self._build = build
        self._units: dict[UnitInput, Unit] = {}
        self.built = 0
        self.reused = 0

    def __len__(self) -> int:
        return len(self._units)

    def acquire(self, input_: UnitInput) -> Unit:
        """The unit of the input, built if nobody holds it; to be given back with `release`."""
        unit = self._units.get(input_)
        if unit is None:
            unit = self._units[input_] = Unit(input_, self._build(input_))
            self.built += 1
        else:
            self.reused += 1
        unit.users += 1
        return unit

    def release(self, unit: Unit) -> None:
        unit.users -= 1
        if not unit.users:
            del self._units[unit.input]

    def replace(self, unit: Unit | None, input_: UnitInput) -> Unit:
        """`unit` itself if its input is the same, else the unit of the other input in exchange for it."""
        if unit is None:
            return self.acquire(input_)
        if unit.input == input_:
            return unit
        other = self.acquire(input_)
        self.release(unit)
        return other


def by_key(inputs: Iterable[UnitInput]) -> dict[UnitKey, UnitInput]:
    """Of two inputs of one name the first counts."""
    units: dict[UnitKey, UnitInput] = {}
    for input_ in inputs:
        units.setdefault((input_.type_url, input_.name), input_)
    return units
