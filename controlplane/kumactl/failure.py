"""Refusals of the control plane as its users read them (contract 9.6)."""

from __future__ import annotations

import json
from typing import Any

from kumamesh.errors import UserError


class Refused(UserError):
    """The control plane answered with an error document."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def refusal(status: int, body: bytes) -> Refused:
    """`<title> (<detail>)` and one line for each invalid parameter; whatever is there when it is no error
    document."""
    document = _document(body)
    if document is None:
        text = " ".join(body[:200].decode("utf-8", "replace").split())
        return Refused(
            status, f"the control plane answered with status {status}" + (f": {text}" if text else "")
        )
    detail = document.get("detail") or document.get("details")
    lines = [f"{document['title']} ({detail})" if detail else str(document["title"])]
    lines += [bullet(field, reason) for field, reason in _parameters(document)]
    return Refused(status, "\n".join(lines))


def bullet(field: str, reason: str) -> str:
    return f"* {field}: {reason}" if field else f"* {reason}"


def _document(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except ValueError:
        return None
    return document if isinstance(document, dict) and document.get("title") else None


def _parameters(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = [(item, "reason") for item in document.get("invalid_parameters") or []]
    found = found or [(item, "message") for item in document.get("causes") or []]
    return [(str(item.get("field", "")), str(item.get(key, ""))) for item, key in found]
