"""What global makes of what a zone tells: it is stored, and belongs to the Zone (contract 8.5)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

from kumacp.kds.exchange.incoming import Writes
from kumacp.kds.exchange.incoming import from_zone as decide
from kumacp.kds.protocol.catalog import from_zone
from kumacp.kds.protocol.messages import HASH_SUFFIX, Received
from kumamesh.names import ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey

MAX_OF_A_TYPE = 100_000
"""Ten times what a mesh of all zones is meant to have; a zone that goes mad must not fill the disk."""


class GlobalIntake:
    """Of one stream. `store_known` tells that the zone's store is the one of its last connection: only then
    an empty list is believed at once, for a zone that lost its store has nothing but empty ones.

    `on_withheld` is called with a type whose deletions must wait, `on_complete` when everything that the zone
    lists was taken over. A zone may have MAX_OF_A_TYPE resources of each type.
    """

    def __init__(
        self,
        zone: str,
        features: frozenset[str],
        *,
        store_known: bool,
        on_withheld: Callable[[str], None],
        on_complete: Callable[[], None],
    ) -> None:
        self._zone = zone
        self._hashed = HASH_SUFFIX in features
        self._store_known = store_known
        self._on_withheld = on_withheld
        self._on_complete = on_complete
        self._missing = set(from_zone())
        self._held: set[str] = set()
        self._stored: Counter[str] = Counter()

    @property
    def owner(self) -> ResourceKey | None:
        return ResourceKey("Zone", "", self._zone)

    @property
    def by_name(self) -> bool:
        return self._hashed

    def note(self, received: Received) -> bool:
        return True

    def decide(self, received: Received, stored: Sequence[Resource], *, full: bool) -> Writes:
        tells_something = bool(received.resources or received.unread)
        writes = decide(
            received,
            stored,
            full=full,
            zone=self._zone,
            hashed=self._hashed,
            trusted=self._store_known or tells_something,
        )
        if full or not self._hashed:  # then all that is stored of the type is known
            own = sum(resource.labels.get(ZONE_LABEL) == self._zone for resource in stored)
            self._stored[received.type] = own
        return _within(writes, MAX_OF_A_TYPE - self._stored[received.type] + len(writes.deletes))

    async def applied(self, received: Received, writes: Writes, *, full: bool) -> None:
        new = sum(resource.version == 0 for resource in writes.puts)
        self._stored[received.type] += new - len(writes.deletes)
        if not full:
            return
        self._missing.discard(received.type)
        if writes.withheld:
            self._held.add(received.type)
            self._on_withheld(received.type)
        self._note_complete()

    def released(self, type_: str) -> None:
        """What was withheld of the type was deleted after all."""
        self._held.discard(type_)
        self._note_complete()

    def _note_complete(self) -> None:
        if not (self._missing or self._held):
            self._on_complete()


def _within(writes: Writes, room: int) -> Writes:
    """Without what is new and has no room."""
    new = [resource for resource in writes.puts if resource.version == 0]
    if len(new) <= room:
        return writes
    left_out = {resource.key for resource in new[max(0, room) :]}
    line = f"{len(left_out)} more of {new[0].type} have no room: a zone may have {MAX_OF_A_TYPE}"
    puts = tuple(resource for resource in writes.puts if resource.key not in left_out)
    return replace(writes, puts=puts, refused=(*writes.refused, line))
