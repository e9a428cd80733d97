"""When the resource of a proxy goes: one stream per proxy, and patience for those that may come back
(contract 3.3). Times are those of a monotonic clock, in seconds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from kumamesh.resource import ResourceKey

MAX_RECONNECT_BACKOFF_S = 30.0
"""Envoy's longest pause between two attempts to connect."""

SECOND_STREAM = "there is already an active stream from this node, try again later"


class Ending(Enum):
    """How a stream ended. CLEAN: the proxy said goodbye; LOST: it vanished; REJECTED: its token no longer
    holds; SHUTDOWN: this control plane stops."""

    CLEAN = "clean"
    LOST = "lost"
    REJECTED = "rejected"
    SHUTDOWN = "shutdown"


_CONDEMNED = ("revoked", "expired")


def ending_for(fault: str) -> Ending:
    """How the stream of a proxy ends whose token holds no longer, by the class of the fault. When a signing
    key is taken away, its proxies may have tokens of the next one already: without the patience that who
    vanishes gets, every rotation of keys would take them all out of their peers' endpoints."""
    return Ending.REJECTED if fault in _CONDEMNED else Ending.LOST


@dataclass(frozen=True, slots=True)
class Removal:
    """The proxy is gone for good, unless its last subscription is another one than `subscription_id`."""

    proxy: ResourceKey
    subscription_id: str


class Registrations:
    """Which proxies have a stream, and which are to be removed when."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._streams: dict[ResourceKey, str] = {}
        self._planned: dict[ResourceKey, tuple[float, Removal]] = {}

    def connect(self, proxy: ResourceKey, subscription_id: str) -> bool:
        """False when the proxy has a stream already; else a planned removal is off."""
        if proxy in self._streams:
            return False
        self._streams[proxy] = subscription_id
        self._planned.pop(proxy, None)
        return True

    def disconnect(self, proxy: ResourceKey, subscription_id: str, ending: Ending, now: float) -> None:
        """A stream ended; it is no matter when it is not the active one of the proxy."""
        if self._streams.get(proxy) != subscription_id:
            return
        del self._streams[proxy]
        if ending is not Ending.SHUTDOWN:
            delay = self._delay_s if ending is Ending.LOST else 0.0
            self._plan(Removal(proxy, subscription_id), now + delay)

    def adopt(self, proxy: ResourceKey, subscription_id: str, now: float) -> None:
        """A proxy that was connected to a control plane that is no more may come here."""
        if proxy not in self._streams:
            self._plan(Removal(proxy, subscription_id), now + self._delay_s + MAX_RECONNECT_BACKOFF_S)

    def retry(self, removal: Removal, now: float) -> None:
        """The removal could not be carried out."""
        if removal.proxy not in self._streams:
            self._plan(removal, now + self._delay_s)

    def connected(self, proxy: ResourceKey) -> bool:
        return proxy in self._streams

    def next_at(self) -> float | None:
        return min((moment for moment, _ in self._planned.values()), default=None)

    def due(self, now: float) -> list[Removal]:
        """Removals whose time has come, the earliest first; they are no longer planned."""
        ripe = [planned for planned in self._planned.values() if planned[0] <= now]
        ripe.sort(key=lambda planned: planned[0])
        for _, removal in ripe:
            del self._planned[removal.proxy]
        return [removal for _, removal in ripe]

    def _plan(self, removal: Removal, moment: float) -> None:
        self._planned[removal.proxy] = (moment, removal)
