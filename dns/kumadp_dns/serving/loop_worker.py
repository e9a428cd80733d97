"""The worker's loop: epoll and a heap of timers, nothing else."""

from __future__ import annotations

import heapq
import itertools
import select
import time
from collections.abc import Callable

from kumadp_dns.loop import HasFileno

_READABLE = select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR
_WRITABLE = select.EPOLLOUT | select.EPOLLHUP | select.EPOLLERR
_SWEEP = 256
"""Cancelled timers that may stay in the heap before it is looked at whether they are most of it."""

Action = Callable[[], None]


class EpollLoop:
    """Implements `kumadp_dns.loop.Loop`. An action that raises ends nothing: `on_bug` is told."""

    def __init__(self, on_bug: Callable[[Exception], None]) -> None:
        self._on_bug = on_bug
        self._epoll = select.epoll()
        self._watched: dict[int, tuple[Action | None, Action | None]] = {}
        self._timers: list[_Timer] = []
        self._numbers = itertools.count()
        self._cancelled = 0
        self._now = time.monotonic()
        self._running = True

    def now(self) -> float:
        return self._now

    def watch(
        self, sock: HasFileno, on_readable: Action | None = None, on_writable: Action | None = None
    ) -> None:
        number = sock.fileno()
        mask = (select.EPOLLIN if on_readable else 0) | (select.EPOLLOUT if on_writable else 0)
        if number not in self._watched:
            if mask:
                self._epoll.register(number, mask)
                self._watched[number] = (on_readable, on_writable)
        elif mask:
            self._epoll.modify(number, mask)
            self._watched[number] = (on_readable, on_writable)
        else:
            del self._watched[number]
            self._epoll.unregister(number)

    def call_at(self, when: float, action: Action) -> _Timer:
        timer = _Timer(self, when, next(self._numbers), action)
        heapq.heappush(self._timers, timer)
        return timer

    def stop(self) -> None:
        """`run` returns after this turn."""
        self._running = False

    def run(self) -> None:
        watched, poll = self._watched, self._epoll.poll
        while self._running:
            timers = self._timers
            timeout = max(0.0, timers[0].when - time.monotonic()) if timers else -1
            events = poll(timeout)
            self._now = time.monotonic()
            for number, mask in events:
                # What was forgotten earlier in this turn is not called; what got its number is, for nothing.
                readable, _ = watched.get(number, (None, None))
                if readable and mask & _READABLE:
                    self._guarded(readable)
                _, writable = watched.get(number, (None, None))
                if writable and mask & _WRITABLE:
                    self._guarded(writable)
            if self._timers:
                self._run_timers()
        self._epoll.close()

    def _run_timers(self) -> None:
        last = next(self._numbers)  # timers made from here on wait for the next turn
        while self._timers and self._timers[0].when <= self._now and self._timers[0].number < last:
            timer = heapq.heappop(self._timers)
            action, timer.action = timer.action, None
            if action is None:
                self._cancelled -= 1
            else:
                self._guarded(action)

    def _guarded(self, action: Action) -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - one bad query must not silence the server for all others
            self._on_bug(error)

    def _sweep(self) -> None:
        """Forwarding makes and cancels a timer for each query: they must not outlive it by seconds."""
        self._cancelled += 1
        if self._cancelled > _SWEEP and self._cancelled * 2 > len(self._timers):
            self._timers = [timer for timer in self._timers if timer.action]
            heapq.heapify(self._timers)
            self._cancelled = 0


class _Timer:
    __slots__ = ("_loop", "action", "number", "when")

    def __init__(self, loop: EpollLoop, when: float, number: int, action: Action) -> None:
        self._loop = loop
        self.when, self.number = when, number
        self.action: Action | None = action

    def __lt__(self, other: _Timer) -> bool:
        return (self.when, self.number) < (other.when, other.number)

    def cancel(self) -> None:
        if self.action is not None:
            self.action = None
            self._loop._sweep()
