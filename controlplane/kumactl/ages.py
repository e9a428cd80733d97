"""Times as people read them in tables: `3m`, `2d`, `never`."""

from __future__ import annotations

from datetime import datetime

NEVER = "never"
_STEPS = ((60, "s", 1), (3_600, "m", 60), (86_400, "h", 3_600), (365 * 86_400, "d", 86_400))


def parse_time(text: object) -> datetime | None:
    """An RFC 3339 time; None for no time, for the zero time of the wire and for anything else."""
    if not isinstance(text, str):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.year > 1 and moment.tzinfo is not None else None


def age(text: str | None, now: datetime) -> str:
    """How long ago the RFC 3339 time was, in its largest whole unit."""
    moment = parse_time(text)
    if moment is None:
        return NEVER
    # Clocks of two hosts differ: what seems to come from the future happened just now.
    seconds = max(0, int((now - moment).total_seconds()))
    for limit, unit, size in _STEPS:
        if seconds < limit:
            return f"{seconds // size}{unit}"
    return f"{seconds // (365 * 86_400)}y"


def moment(text: str | None) -> str:
    """The RFC 3339 time without zone and fraction, `-` for none."""
    parsed = parse_time(text)
    return f"{parsed:%Y-%m-%d %H:%M:%S}" if parsed else "-"
