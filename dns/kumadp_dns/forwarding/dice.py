"""Random numbers for queries: what the operating system gives, taken in blocks because each one is a call."""

from __future__ import annotations

from collections.abc import Callable

_BLOCK = 4_096


class Dice:
    """`source` gives so many bytes that nobody can foretell; each is used once."""

    __slots__ = ("_at", "_block", "_source")

    def __init__(self, source: Callable[[int], bytes]) -> None:
        self._source = source
        self._block = b""
        self._at = 0

    def take(self, size: int) -> bytes:
        """At most 4,096 bytes."""
        at = self._at
        end = at + size
        if end > len(self._block):
            self._block = self._source(_BLOCK)
            at, end = 0, size
        self._at = end
        return self._block[at:end]

    def below(self, bound: int) -> int:
        """0 to `bound` - 1, all equally likely when `bound` is a power of two of at most 65,536."""
        return int.from_bytes(self.take(2), "big") % bound
