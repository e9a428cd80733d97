"""Giving memory back to the system after large pushes: the allocator keeps what a 50 MB message needed."""

from __future__ import annotations

import asyncio
import ctypes

_LARGE_BYTES = 1024 * 1024
_MAPPED_BYTES = 32 * 1024 * 1024
_QUIET_S = 2.0
# mallopt(3)
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_ARENAS = 2


class MemoryTrimmer:
    """Trims once large messages have stopped for a while. Does nothing without glibc."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None
        library = ctypes.CDLL(None)
        self._trim = getattr(library, "malloc_trim", None)
        if hasattr(library, "mallopt"):
            # Set, which keeps it from following the largest message: larger blocks are mapped by themselves
            # and go back when they are freed, and only those, since mapping costs a page fault for every
            # 4 KB. gRPC's threads get no heaps of their own to keep things in.
            library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
            library.mallopt(_M_ARENA_MAX, _ARENAS)

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
