"""Which name table Envoy has: the dynconf listener among those that pass the relay (contract 4.1). Pure.

A table counts once Envoy has taken the push that brought it: a name must not resolve before the listener of
its address is there. What Envoy makes of pushes that it refuses in part, and of streams that end between a
push and its answer, counts the same way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LISTENER_NAMES = ("_kuma:dynamicconfig", "system_dynamicconfig")
_IN_PART = "Error adding/updating listener(s)"
"""So Envoy's refusal begins when it took all listeners but those that it names."""
_MAX_PENDING = 64
_FIRST_FIELDS = tuple(b"\n" + bytes([len(name)]) + name.encode() for name in LISTENER_NAMES)
"""A listener begins with its name: it is field 1, and writers of protobuf keep the order."""


@dataclass(frozen=True, slots=True)
class Change:
    """The listener as it is sent, None when there is none (any more). `version` is that of delta xDS."""

    listener: bytes | None
    version: str = ""


@dataclass(slots=True)
class NameTable:
    """Over all streams, of which Envoy has one at a time."""

    _pending: dict[str, Change] = field(default_factory=dict)
    _known: bool = False
    """Whether a push has told yet if there is such a listener."""
    _change: Change | None = None

    def began(self, versions: Mapping[str, str] | None) -> None:
        """A stream's first request for listeners; in delta xDS it tells what Envoy has, in SotW nothing."""
        unanswered = list(self._pending.values())
        self._pending.clear()
        if versions is None:
            return
        has = {versions[name] for name in LISTENER_NAMES if name in versions}
        for change in unanswered:
            if has == (set() if change.listener is None else {change.version}):
                self._change = change

    def pushed(self, message: Any, *, delta: bool) -> None:
        """A response with listeners, on its way to Envoy."""
        change = _in_delta(message) if delta else _in_state(message)
        if change is None and not self._known:
            change = Change(None)  # the first push has all that there is
        if change is None:
            return
        self._known = True
        self._pending[message.nonce] = change
        if len(self._pending) > _MAX_PENDING:
            del self._pending[next(iter(self._pending))]

    def answered(self, nonce: str, refusal: str | None) -> None:
        """Envoy's answer to a push; `refusal` is None when it took all of it, else its text."""
        change = self._pending.pop(nonce, None)
        if change is not None and _has_taken(refusal):
            self._change = change

    def take(self) -> Change | None:
        """What Envoy has, if that has changed since the last call."""
        change, self._change = self._change, None
        return change


def _has_taken(refusal: str | None) -> bool:
    return refusal is None or (
        refusal.startswith(_IN_PART) and not any(f" {name}: " in refusal for name in LISTENER_NAMES)
    )


def _in_delta(message: Any) -> Change | None:
    for resource in message.resources:
        if resource.name in LISTENER_NAMES:
            return Change(resource.resource.value, resource.version)
    if any(name in LISTENER_NAMES for name in message.removed_resources):
        return Change(None)
    return None


def _in_state(message: Any) -> Change:
    for resource in message.resources:
        value = resource.value
        if value.startswith(_FIRST_FIELDS):
            return Change(value)
    return Change(None)
