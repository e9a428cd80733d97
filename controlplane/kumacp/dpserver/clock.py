"""The two clocks of the data-plane server, so that tests can bring their own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True)
class Clock:
    """`monotonic` for delays, `wall` (seconds since the epoch) for tokens, certificates and insights."""

    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time

    def utc(self) -> datetime:
        return datetime.fromtimestamp(self.wall(), UTC)
