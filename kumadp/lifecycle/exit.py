"""How a run ends."""

from __future__ import annotations

from typing import NamedTuple


class Exit(NamedTuple):
    """`reason` is one line for the user when the code is not 0."""

    code: int
    reason: str = ""
