"""Errors that end in one line for the user."""

from __future__ import annotations

EXIT_FAILURE = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


def one_line(text: str) -> str:
    """What somebody else wrote, as a part of a line: it breaks no line, and commands no terminal."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


class UserError(Exception):
    """A failure that a person can mend: the message names the cause and the remedy, in one line."""

    def __init__(self, message: str, *, exit_code: int = EXIT_FAILURE) -> None:
        super().__init__(message)
        self.exit_code = exit_code
