"""When to start the worker again: at once, unless it keeps ending; and when to end one that hangs."""

from __future__ import annotations

from collections.abc import Sequence

WINDOW_S = 60.0
"""Ends that are longer ago are forgiven."""
AT_ONCE = 3
"""Ends in the window that are repaired without a pause: what asks meanwhile waits in the sockets."""
MAX_PAUSE_S = 5.0
LOOKS = 5
"""In a row at a worker that has said nothing since the last one."""

_FIRST_PAUSE_S = 0.1


def pause(ended: Sequence[float], now: float) -> float:
    """Seconds to wait. `ended`: when workers have ended, this one included."""
    recent = sum(1 for moment in ended if now - moment < WINDOW_S)
    if recent <= AT_ONCE:
        return 0.0
    # The exponent is bounded because a float overflows long before the agent gives up.
    return min(MAX_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(recent - AT_ONCE - 1, 32))


class Patience:
    """With a worker, which says something every second. Looks are counted, not seconds: an agent that was
    stopped itself, or its host, has missed what was said, but no look in which it could have heard it."""

    def __init__(self) -> None:
        self._silent = 0

    def heard(self) -> None:
        self._silent = 0

    def look(self) -> bool:
        """Whether it is at its end."""
        self._silent += 1
        return self._silent >= LOOKS
