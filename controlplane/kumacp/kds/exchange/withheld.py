"""Deletions that were not made, because it is not sure that the other side knows all that it once knew."""

from __future__ import annotations

from collections.abc import Iterable

from kumamesh.resource import ResourceKey


class Withheld:
    """By type, what one stream would have deleted for want of it in a first list."""

    def __init__(self) -> None:
        self._keys: dict[str, set[ResourceKey]] = {}

    def __len__(self) -> int:
        return sum(len(keys) for keys in self._keys.values())

    def replace(self, type_: str, keys: Iterable[ResourceKey]) -> None:
        """A full state came: this is what it lacks."""
        self._keys[type_] = set(keys)

    def confirm(self, type_: str, keys: Iterable[ResourceKey]) -> None:
        """These the other side knows after all."""
        self._keys.get(type_, set()).difference_update(keys)

    def take(self, type_: str | None = None) -> tuple[ResourceKey, ...]:
        """What is to be deleted now, of one type or of all (None); it is withheld no longer."""
        types = list(self._keys) if type_ is None else [type_]
        return tuple(key for each in types for key in sorted(self._keys.pop(each, ())))
