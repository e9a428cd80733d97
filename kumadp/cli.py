"""Entry point of kuma-dp."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, NoReturn

from kumamesh.errors import EXIT_INTERRUPTED


def main() -> None:
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """The exit code."""
    try:
        signal.signal(signal.SIGTERM, _stop_early)
        _open_standard_streams()
        # Inside the guard, because it takes a while in which an interrupt is as likely as later.
        from kumadp.commands import root

        return root.run(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _open_standard_streams() -> None:
    """Where the caller closed one, the next socket would take its place, and Envoy's log lines with it."""
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _stop_early(*_: Any) -> NoReturn:
    """Until the command handles signals itself: a container's first process gets none that it has no handler
    for, and would go on where it was told to stop."""
    raise SystemExit(0)
