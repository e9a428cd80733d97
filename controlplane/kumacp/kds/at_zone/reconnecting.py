"""When a zone dials its global control plane again, and when it opens a stream again."""

from __future__ import annotations

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 5.0
"""A zone is Online again within seconds of the end of an outage; thousands of zones are unusual."""
REFUSED_PAUSE_S = 30.0
"""Longest pause after a refusal: somebody must mend something first."""
LIVED_S = 10.0
"""A connection that held so long was a good one."""


class Pauses:
    """Pauses double, and are shortened by chance, so that zones do not come back in lock-step."""

    def __init__(self) -> None:
        self._failures = 0

    def next(self, *, lived_s: float, refused: bool, chance: float) -> float:
        """Seconds to wait after what held for `lived_s`; `chance` is a random number in [0, 1)."""
        if lived_s >= LIVED_S:
            self._failures = 0
        ceiling = min(FIRST_PAUSE_S * 2.0 ** min(self._failures, 16), _longest(refused=refused))
        self._failures += 1
        if lived_s >= LIVED_S and not refused:
            # The other side was well until now: perhaps it only restarts.
            return ceiling * chance * 0.5
        return ceiling * (0.5 + chance * 0.5)


def _longest(*, refused: bool) -> float:
    return REFUSED_PAUSE_S if refused else LONGEST_PAUSE_S
