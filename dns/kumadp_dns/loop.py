"""What a room of the name server needs from the loop that runs it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class HasFileno(Protocol):
    """A socket, or anything else that epoll can wait for."""

    def fileno(self) -> int: ...


class Timer(Protocol):
    def cancel(self) -> None:
        """The action will not run; nothing happens when it has run, or was cancelled before."""


class Loop(Protocol):
    """One thread; actions run one after the other and never inside the call that asks for them."""

    def now(self) -> float:
        """Monotonic seconds, read once per turn of the loop: the same for all that one event causes."""

    def watch(
        self,
        sock: HasFileno,
        on_readable: Callable[[], None] | None = None,
        on_writable: Callable[[], None] | None = None,
    ) -> None:
        """Call these whenever the socket is ready, an error or the end of a stream included, from now on
        and instead of those before; both None: forget the socket, which must be done before it is closed."""

    def call_at(self, when: float, action: Callable[[], None]) -> Timer:
        """Run the action once `now()` has reached `when`, in the next turn at the earliest."""
