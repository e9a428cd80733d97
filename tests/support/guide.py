"""A guide for users whose commands a test runs as they stand.

A block of commands follows a line that says where it is typed: `On **zone-1**:`, or
`On **zone-1**, in a terminal of its own:` for what stays in the foreground. Blocks of anything else say so
(```text).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_WHERE = re.compile(r"On \*\*(?P<machine>[\w-]+)\*\*(?P<own>, in a terminal of its own)?:")


@dataclass(frozen=True)
class Step:
    """Lines for a shell on one machine; `stays` tells that they do not end. `line` is where they are."""

    machine: str
    stays: bool
    script: str
    line: int


def steps(page: Path) -> list[Step]:
    """In the order of the page; ValueError for a block that does not say where it is typed."""
    return list(_steps(page.read_text().splitlines()))


def _steps(lines: list[str]) -> Iterator[Step]:
    at = 0
    while at < len(lines):
        if not lines[at].startswith("```"):
            at += 1
            continue
        end = lines.index("```", at + 1)
        if lines[at] == "```":
            lead = next((line for line in reversed(lines[:at]) if line), "")
            where = _WHERE.fullmatch(lead)
            if where is None:
                raise ValueError(f"line {at + 1}: commands without a line that says where they are typed")
            script = "\n".join(lines[at + 1 : end]) + "\n"
            yield Step(where["machine"], bool(where["own"]), script, at + 1)
        at = end + 1
