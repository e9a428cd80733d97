"""Tables as text, aligned, without colours."""

from __future__ import annotations

from collections.abc import Sequence

GAP = "   "


def render(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lines with columns as wide as their widest cell and no space at the end of a line."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    lines = [
        GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (headers, *rows)
    ]
    return "\n".join(lines)
