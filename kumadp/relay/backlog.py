"""Requests of Envoy that wait for the control plane: any number, but a bounded number of bytes.

A bound on the number would let both sides block in sending to each other for ever. Pure.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

WARN_BYTES = 8 * 1024 * 1024
MAX_BYTES = 64 * 1024 * 1024


class BacklogFull(Exception):
    """The control plane has not read for so long that the stream must end."""


@dataclass(slots=True)
class Backlog:
    """First in, first out."""

    warn_bytes: int = WARN_BYTES
    max_bytes: int = MAX_BYTES
    size: int = 0
    warned: bool = False
    _items: deque[bytes] = field(default_factory=deque)

    def __len__(self) -> int:
        return len(self._items)

    def put(self, raw: bytes) -> bool:
        """True the first time the backlog is worth a warning; raises BacklogFull."""
        if self.size + len(raw) > self.max_bytes:
            raise BacklogFull(f"{self.size} bytes of requests wait for the control plane")
        self._items.append(raw)
        self.size += len(raw)
        if self.size <= self.warn_bytes or self.warned:
            return False
        self.warned = True
        return True

    def get(self) -> bytes:
        raw = self._items.popleft()
        self.size -= len(raw)
        return raw
