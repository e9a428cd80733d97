"""Bodies of POST /tokens/<kind> as claims (contract 7.3; kuma-cp 5.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kumacp.api.problem import ISSUE_TOKEN, invalid
from kumamesh.durations import parse_duration
from kumamesh.resource import Violation
from kumamesh.settings import suggestion
from kumamesh.tokens import DEFAULT_VALIDITY_S, SCOPES, Claims, DataplaneClaims, UserClaims, ZoneClaims

EMPTY = "cannot be empty"
EMPTY_DURATION = "cannot be empty or nil"
PROXY_TYPES = ("", "dataplane")
MAX_VALIDITY_S = 100 * 365 * 86_400.0


@dataclass(frozen=True, slots=True)
class TokenOrder:
    """What a token is to say and how long it is to hold."""

    claims: Claims
    valid_for_s: float


def parse(kind: str, body: Mapping[str, Any]) -> TokenOrder:
    """The order for a `dataplane`, `zone` or `user` token; raises Problem 400 with all violations."""
    fields = _Fields(body)
    claims = _READERS[kind](fields)
    valid_for_s = fields.validity(required=kind == "user")
    fields.finish()
    return TokenOrder(claims, valid_for_s)


def _dataplane(fields: _Fields) -> DataplaneClaims:
    claims = DataplaneClaims(
        name=fields.text("name"),
        mesh=fields.text("mesh"),
        tags=fields.tags("tags"),
        type=fields.text("type"),
        workload=fields.text("workload"),
    )
    fields.require("mesh", claims.mesh)
    if claims.type not in PROXY_TYPES:
        fields.wrong("type", f'"{claims.type}" is not a valid proxy type; use dataplane')
    return claims


def _zone(fields: _Fields) -> ZoneClaims:
    claims = ZoneClaims(zone=fields.text("zone"), scope=fields.texts("scope"))
    fields.require("scope", claims.scope)
    for index, scope in enumerate(claims.scope):
        if scope not in SCOPES:
            fields.wrong(f"scope[{index}]", f'"{scope}" is not a known scope; use {", ".join(SCOPES)}')
    return claims


def _user(fields: _Fields) -> UserClaims:
    claims = UserClaims(name=fields.text("name"), groups=fields.texts("groups"))
    fields.require("name", claims.name)
    return claims


_READERS: Mapping[str, Callable[[_Fields], Claims]] = {"dataplane": _dataplane, "zone": _zone, "user": _user}


class _Fields:
    """Reads the fields of a body by type and collects what is wrong. A misspelt field is an error: if it were
    ignored, the token would allow more than was asked for."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        self._body = body
        self._known: set[str] = set()
        self._violations: dict[str, str] = {}

    def text(self, name: str) -> str:
        value = self._get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self.wrong(name, "must be a string")
        return ""

    def texts(self, name: str) -> tuple[str, ...]:
        value = self._get(name)
        if value is None or _is_texts(value):
            return tuple(value or ())
        self.wrong(name, "must be a list of strings")
        return ()

    def tags(self, name: str) -> Mapping[str, tuple[str, ...]]:
        value = self._get(name)
        if value is None:
            return {}
        if isinstance(value, dict) and all(_is_texts(item) for item in value.values()):
            return {tag: tuple(values) for tag, values in value.items()}
        self.wrong(name, "must be an object of lists of strings")
        return {}

    def validity(self, *, required: bool) -> float:
        text = self.text("validFor")
        if not text:
            if required:
                self.wrong("validFor", EMPTY_DURATION)
            return DEFAULT_VALIDITY_S
        try:
            seconds = parse_duration(text)
        except ValueError as error:
            self.wrong("validFor", f"is invalid: {error}")
            return DEFAULT_VALIDITY_S
        if seconds <= 0:
            self.wrong("validFor", "is invalid: it must be positive")
        if seconds > MAX_VALIDITY_S:
            self.wrong("validFor", "is invalid: a token holds for at most 100 years")
        return seconds

    def require(self, name: str, value: object) -> None:
        if not value:
            self.wrong(name, EMPTY)

    def wrong(self, name: str, message: str) -> None:
        """Note a violation; the first of a field counts."""
        self._violations.setdefault(name, message)

    def finish(self) -> None:
        for name in self._body:
            if name not in self._known:
                self.wrong(name, f"unknown field{suggestion(name, self._known)}")
        if self._violations:
            raise invalid(ISSUE_TOKEN, [Violation(name, text) for name, text in self._violations.items()])

    def _get(self, name: str) -> Any:
        self._known.add(name)
        return self._body.get(name)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
