"""The name server's loop with a time of its own; nothing in it waits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from kumadp_dns.loop import HasFileno

Action = Callable[[], None]


@dataclass(eq=False)
class FakeTimer:
    when: float
    action: Action | None

    def cancel(self) -> None:
        self.action = None


class FakeLoop:
    """Implements `kumadp_dns.loop.Loop`. `watched` has what is to be called for which socket."""

    def __init__(self) -> None:
        self.time = 1_000.0
        self.timers: list[FakeTimer] = []
        self.watched: dict[HasFileno, tuple[Action | None, Action | None]] = {}

    def now(self) -> float:
        return self.time

    def watch(
        self, sock: HasFileno, on_readable: Action | None = None, on_writable: Action | None = None
    ) -> None:
        if on_readable or on_writable:
            self.watched[sock] = (on_readable, on_writable)
        else:
            del self.watched[sock]

    def call_at(self, when: float, action: Action) -> FakeTimer:
        timer = FakeTimer(when, action)
        self.timers.append(timer)
        return timer

    def advance(self, seconds: float) -> None:
        """Time passes, and every timer runs when it is due."""
        end = self.time + seconds
        while True:
            due = [timer for timer in self.timers if timer.action and timer.when <= end]
            if not due:
                break
            timer = min(due, key=lambda each: each.when)
            self.timers.remove(timer)
            self.time = max(self.time, timer.when)
            assert timer.action
            timer.action()
        self.time = end
