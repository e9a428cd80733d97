"""Whether queries come so densely that it pays to let some gather, as network cards do with their interrupts.

A worker that is faster than its clients is woken for a few queries at a time, which costs as much as several
queries do. Above the rate that counts as dense, a tenth of a millisecond is worth less.
"""

from __future__ import annotations

DENSE = 40_000
"""Queries a second."""
ENOUGH = 32
"""Queries at a time that need no company."""
GATHER_S = 20e-6
"""To sleep; with what the kernel adds to a sleep, some 80 microseconds."""

_WINDOW = 256
"""Queries over which the rate is taken, or as long as they may take: a rush is over with the first that comes
late."""


class Pace:
    """Of one socket."""

    def __init__(self) -> None:
        self.pays = False
        """To gather queries before the next ones are taken."""
        self._dense = False
        self._begun_at = 0.0
        self._count = 0

    def took(self, queries: int, now: float) -> None:
        self._count += queries
        elapsed = now - self._begun_at
        if self._count >= _WINDOW or elapsed > _WINDOW / DENSE:
            self._dense = self._count > DENSE * elapsed
            self._begun_at, self._count = now, 0
        self.pays = self._dense and queries < ENOUGH
