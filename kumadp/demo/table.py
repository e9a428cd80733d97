"""A table that grows while the demo works: one line per step, written when the step ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

WIDTHS = (3, 46, 10)


def header() -> str:
    number, step, took = WIDTHS
    line = f"{'#':>{number}}  {'STEP':<{step}}  {'TIME':>{took}}  RESULT"
    return f"{line}\n{'-' * (number + step + took + 30)}"


def row(number: int, step: str, seconds: float, result: str) -> str:
    first, second, third = WIDTHS
    return f"{number:>{first}}  {step:<{second}}  {duration(seconds):>{third}}  {result}"


def duration(seconds: float) -> str:
    """Milliseconds below a second, else seconds."""
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


class Step:
    """One running step; set `result` to what there is to say at its end."""

    result = ""


class Table:
    """Writes to a stream; on a terminal the running step is shown, elsewhere only finished ones. `columns`
    tells how wide the terminal is at the moment."""

    def __init__(self, stream: TextIO, columns: Callable[[], int]) -> None:
        self._stream = stream
        self._columns = columns
        self._live = stream.isatty()
        self._count = 0
        for line in header().splitlines():
            self._write((self._fitting(line) if self._live else line) + "\n")

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Measure the body; its line is written when it ends without an error."""
        self._count += 1
        if self._live:
            self._write(
                self._fitting(f"{self._count:>{WIDTHS[0]}}  {name:<{WIDTHS[1]}}  {'...':>{WIDTHS[2]}}")
            )
        step, start = Step(), time.monotonic()
        try:
            yield step
        except BaseException:
            self._write("\n" if self._live else "")
            raise
        line = row(self._count, name, time.monotonic() - start, step.result)
        self._write(("\r\x1b[K" if self._live else "") + line + "\n")

    def _fitting(self, line: str) -> str:
        """What fits into one row: of a line that goes over several, only the last one could be taken back."""
        return line[: max(1, self._columns() - 1)]

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
