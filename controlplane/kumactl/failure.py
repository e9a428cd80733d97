"""Refusals of the control plane as its users read them (contract 9.6)."""

from __future__ import annotations

import json

from kumactl.answer import Item, entries, plain, text
from kumamesh.errors import UserError

MAX_BULLETS = 100
MAX_TEXT = 2_000
_BODY_BYTES = 200


class Refused(UserError):
    """The control plane answered with an error document."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, body: bytes) -> Refused:
    """`<title> (<detail>)` and one line for each invalid parameter; whatever is there when it is no error
    document."""
    document = _document(body)
    title = _line(text(document, "title"))
    if not title:
        found = _line(body[:_BODY_BYTES].decode("utf-8", "replace"))
        message = f"the control plane answered with status {status}"
        return Refused(status, f"{message}: {found}" if found else message)
    detail = _line(text(document, "detail") or text(document, "details"))
    bullets = [bullet(field, reason) for field, reason in _parameters(document)]
    lines = [f"{title} ({detail})" if detail else title, *bullets[:MAX_BULLETS]]
    if len(bullets) > MAX_BULLETS:
        lines.append(f"* and {len(bullets) - MAX_BULLETS} more")
    return Refused(status, "\n".join(lines))


def bullet(field: str, reason: str) -> str:
    return f"* {field}: {reason}" if field else f"* {reason}"


def _document(body: bytes) -> Item:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def _parameters(document: Item) -> list[tuple[str, str]]:
    found = [(item, "reason") for item in entries(document, "invalid_parameters")]
    found = found or [(item, "message") for item in entries(document, "causes")]
    return [(_line(text(item, "field")), _line(text(item, key))) for item, key in found]


def _line(value: str) -> str:
    return plain(" ".join(value[:MAX_TEXT].split()))
