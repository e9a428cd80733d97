"""Tests with a number in them have two sizes: one for every day, and the one that the promise names.

`make hardening` runs the long ones; so does `LONG_FORM=1` before any pytest command.
"""

from __future__ import annotations

import os

LONG = os.environ.get("LONG_FORM", "") not in ("", "0")


def scale(short: int, long: int) -> int:
    return long if LONG else short
