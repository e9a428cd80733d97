"""Documents of a control plane, read with care: what has another form than expected is as good as absent, so
that no answer, however wrong, ends in anything else than a table or one clear line."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

Item = Mapping[str, Any]

_STEERING = ("Cc", "Cs", "Zl", "Zp")
_BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_NUMBER_DIGITS = 30


def section(value: object, *path: str) -> Item:
    """The object at a path."""
    found = _at(value, path)
    return found if isinstance(found, Mapping) else {}


def entries(value: object, *path: str) -> list[Item]:
    """The objects of the list at a path."""
    found = _at(value, path)
    return [item for item in found if isinstance(item, Mapping)] if isinstance(found, list) else []


def texts(value: object, *path: str) -> list[str]:
    """The texts of the list at a path."""
    found = _at(value, path)
    return [item for item in found if isinstance(item, str)] if isinstance(found, list) else []


def text(value: object, *path: str) -> str:
    """The text or number at a path, "" when there is none."""
    found = _at(value, path)
    if isinstance(found, str):
        return found
    return str(found) if isinstance(found, int | float) and not isinstance(found, bool) else ""


def number(value: object, *path: str) -> int:
    """The count at a path, 0 when there is none; counters of 64 bits are texts in JSON."""
    found = _at(value, path)
    if isinstance(found, str):
        return int(found) if found.isascii() and found.isdigit() and len(found) < _NUMBER_DIGITS else 0
    return found if isinstance(found, int) else 0


def flag(value: object, *path: str) -> bool:
    """Whether true is at the path."""
    return _at(value, path) is True


def plain(value: str) -> str:
    """The text on one line and without characters that steer a terminal: names come from elsewhere."""
    if value.isascii() and value.isprintable():
        return value
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(letter) else letter for letter in value)


def _steers(letter: str) -> bool:
    return letter in _BIDIRECTIONAL or unicodedata.category(letter) in _STEERING


def _at(value: object, path: tuple[str, ...]) -> object:
    for key in path:
        if not isinstance(value, Mapping):
            return None
        value = value.get(key)
    return value
