"""Giving memory back to the system after large pushes: the allocator keeps what a 50 MB message needed."""

from __future__ import annotations

import asyncio
import ctypes

_LARGE_BYTES = 1024 * 1024
_QUIET_S = 2.0


class MemoryTrimmer:
    """Trims once large messages have stopped for a while."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        self._trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only

    def note(self, size: int) -> None:
        """A message of this many bytes passed."""
        if size < _LARGE_BYTES or self._trim is None:
            return
        self.close()
        self._timer = asyncio.get_running_loop().call_later(_QUIET_S, self._trim, 0)

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
