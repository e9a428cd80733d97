"""When to ask the control plane again: exponential back-off with full jitter, so that thousands of agents
do not come back in lock-step after an outage."""

from __future__ import annotations

from dataclasses import dataclass

_FIRST_PAUSE_S = 0.25


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_pause` bounds one pause and `max_duration` the whole; both in seconds."""

    max_pause: float
    max_duration: float

    def pause(self, attempt: int, elapsed: float, chance: float) -> float | None:
        """Seconds to wait after the failed attempt number `attempt` (from 1), or None to give up.

        `elapsed` is the time since the first attempt began, `chance` a random number in [0, 1).
        """
        left = self.max_duration - elapsed
        if left <= 0:
            return None
        # The exponent is bounded because a float overflows long before a patient user does.
        ceiling = min(self.max_pause, _FIRST_PAUSE_S * 2.0 ** min(attempt - 1, 32))
        return min(chance * ceiling, left)
