"""Entry point of kuma-cp."""

from __future__ import annotations

import sys

from kumamesh.errors import EXIT_INTERRUPTED


def run(arguments: list[str]) -> int:
    """The exit code."""
    try:
        # Inside the guard, because it takes 0.1 s in which an interrupt is as likely as later.
        from kumacp import commands

        return commands.execute(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def main() -> None:
    sys.exit(run(sys.argv[1:]))
