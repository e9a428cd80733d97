"""Durations as Go and Kuma write them: `1h30m`, `250ms`, `10d` (kuma-cp 2.0)."""

from __future__ import annotations

import re

_UNITS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86_400.0,
    "w": 7 * 86_400.0,
    "y": 365 * 86_400.0,
}
_LONGEST_S = 2**63 / 1e9
"""292 years: Go counts nanoseconds in 63 bits."""
_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h|d|w|y)", re.ASCII)
_WHOLE = re.compile(r"[+-]?(?:\d+(?:\.\d+)?(?:ns|us|µs|ms|s|m|h|d|w|y))+", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds; raises ValueError on anything else than a sign and number-unit pairs, or `0`."""
    text = text.strip()
    if text in {"0", "+0", "-0"}:
        return 0.0
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration; write a number and a unit, such as 30s, 5m or 24h")
    seconds = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text))
    if seconds >= _LONGEST_S:
        raise ValueError(f"{text[:40]!r} is too long for a duration; the longest is 292 years")
    return -seconds if text.startswith("-") else seconds


def format_duration(seconds: float) -> str:
    """Go's form: `1h30m0s`, `250ms`, `0s`."""
    if seconds == 0:
        return "0s"
    sign, nanos = ("-" if seconds < 0 else ""), round(abs(seconds) * 1e9)
    if nanos < 1_000_000_000:
        for unit, size in (("ms", 1_000_000), ("µs", 1_000), ("ns", 1)):
            if nanos >= size:
                return f"{sign}{_number(nanos / size)}{unit}"
    minutes, rest = divmod(nanos, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{_number(rest / 1e9)}s"
    if hours or minutes:
        text = f"{minutes}m{text}"
    if hours:
        text = f"{hours}h{text}"
    return sign + text


def _number(value: float) -> str:
    return f"{value:.9f}".rstrip("0").rstrip(".")
