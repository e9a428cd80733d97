"""Tables as text, aligned, without colours; on a terminal, in a form that fits it."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kumactl.answer import plain

GAP = "   "
_NARROW_GAP = "  "
"""Where the terminal lacks room."""


@dataclass(frozen=True, slots=True)
class Table:
    """Titles, rows of as many cells, and a line below."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    footer: str = ""

    def text(self, columns: int = 0) -> str:
        """Columns as wide as their widest cell and no space at the end of a line. A table wider than the
        `columns` of the terminal (0: any width) moves together and is folded at spaces; where that is not
        enough, each row becomes a block with a line for each cell."""
        rows = [[plain(cell) for cell in row] for row in (self.headers, *self.rows)]
        lines = _fitting(rows, columns)
        return "\n".join([*lines, "", plain(self.footer)] if self.footer else lines)


def _fitting(rows: list[list[str]], columns: int) -> list[str]:
    natural = _widths(rows, lambda cell: cell)
    if not columns or _total(natural, GAP) <= columns:
        return _lines(rows, natural, GAP)
    widths = _narrowed(natural, _widths(rows, _longest_word), columns)
    if widths is not None:
        return [line for row in rows for line in _lines(_folded(row, widths), widths, _NARROW_GAP)]
    return _blocks(rows, columns) if len(rows) > 1 else _lines(rows, natural, GAP)


def _widths(rows: list[list[str]], part: Callable[[str], str]) -> list[int]:
    return [max(_width(part(cell)) for cell in column) for column in zip(*rows, strict=True)]


def _total(widths: list[int], gap: str) -> int:
    return sum(widths) + len(gap) * (len(widths) - 1)


def _narrowed(natural: list[int], least: list[int], columns: int) -> list[int] | None:
    """Widths that fit, None when there are none: those that lack least become whole first."""
    spare = columns - _total(least, _NARROW_GAP)
    if spare < 0:
        return None
    widths = least[:]
    for index in sorted(range(len(widths)), key=lambda at: natural[at] - least[at]):
        grown = min(natural[index] - widths[index], spare)
        widths[index] += grown
        spare -= grown
    return widths


def _folded(row: list[str], widths: list[int]) -> list[list[str]]:
    """The row as several, each cell broken at its spaces."""
    parts = [_broken(cell, width) for cell, width in zip(row, widths, strict=True)]
    height = max(map(len, parts))
    return [[part[at] if at < len(part) else "" for part in parts] for at in range(height)]


def _broken(cell: str, width: int) -> list[str]:
    lines = [""]
    for word in cell.split(" "):
        joined = f"{lines[-1]} {word}" if lines[-1] else word
        if _width(joined) <= width:
            lines[-1] = joined
        else:
            lines.append(word)
    return lines


def _blocks(rows: list[list[str]], columns: int) -> list[str]:
    headers, *items = rows
    width = max(map(_width, headers))
    lines: list[str] = []
    for row in items:
        for header, cell in zip(headers, row, strict=True):
            room = max(columns - width - len(GAP), _width(_longest_word(cell)))
            first, *others = _broken(cell, room)
            lines += _lines([[header, first], *(["", other] for other in others)], [width, room], GAP)
        lines.append("")
    return lines[:-1]


def _lines(rows: list[list[str]], widths: list[int], gap: str) -> list[str]:
    return [
        gap.join(cell + " " * (width - _width(cell)) for cell, width in zip(row, widths, strict=True)).rstrip(
            " "
        )
        for row in rows
    ]


def _longest_word(cell: str) -> str:
    return max(cell.split(" "), key=_width)


def _width(cell: str) -> int:
    """Cells of a terminal that the text takes."""
    if cell.isascii():
        return len(cell)
    return sum(_cells(letter) for letter in cell)


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1
