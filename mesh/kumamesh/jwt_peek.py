"""What a token says of itself, unverified and with the standard library alone (contract 7.1; RFC 7515).

Good for hints to a person and for timers, never for a decision on access: that is `kumamesh.tokens`.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Any, NamedTuple, NoReturn

MAX_TOKEN_CHARS = 16_384
"""Far above any real token, far below what would cost time to refuse."""

_COMPACT = re.compile(r"([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]*)")


class MalformedToken(ValueError):
    """Not a token in compact form; the message never repeats the token."""


class Peeked(NamedTuple):
    """Both JSON objects of a token."""

    header: dict[str, Any]
    claims: dict[str, Any]


def peek(token: str) -> Peeked:
    """Header and claims; raises MalformedToken."""
    if len(token) > MAX_TOKEN_CHARS:
        raise MalformedToken(f"it is longer than {MAX_TOKEN_CHARS} characters")
    parts = _COMPACT.fullmatch(token)
    if not parts:
        raise MalformedToken("it is not three base64url parts separated by dots")
    return Peeked(_decode(parts[1], "header"), _decode(parts[2], "payload"))


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """The JSON object in `data`, without the numbers that JSON does not have; raises MalformedToken."""
    try:
        value = json.loads(data, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise MalformedToken(f"its {what} is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedToken(f"its {what} is not a JSON object")
    return value


def _decode(part: str, what: str) -> dict[str, Any]:
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except ValueError as error:
        raise MalformedToken(f"its {what} is not base64url") from error
    return parse_object(data, what)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
