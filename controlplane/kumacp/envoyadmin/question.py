"""What Envoy's admin endpoint is asked, and what it answered. Paths are fixed; nothing else can be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MAX_FILTER_CHARS = 1024

JSON_TYPE = "application/json"
TEXT_TYPE = "text/plain"


@dataclass(frozen=True, slots=True)
class Question:
    """One GET request. `query` as Envoy knows it; `secret` tells that the answer must be redacted."""

    path: str
    query: Sequence[tuple[str, str]] = ()
    content_type: str = TEXT_TYPE
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Reply:
    """What Envoy said."""

    body: bytes = field(repr=False)
    content_type: str


class ProxyUnavailable(Exception):
    """Envoy cannot be asked now; the text names cause and remedy."""


class QuestionRefused(Exception):
    """Envoy does not understand the question."""


WHO_ARE_YOU = Question("/server_info", content_type=JSON_TYPE)


def config_dump(*, include_eds: bool) -> Question:
    query = (("include_eds", "true"),) if include_eds else ()
    return Question("/config_dump", query, JSON_TYPE, secret=True)


def stats(*, used_only: bool, as_json: bool, filter_: str = "") -> Question:
    """`filter_` is a regular expression (RE2) that names must match."""
    query = [("usedonly", "true")] if used_only else []
    query += [("filter", filter_)] if filter_ else []
    return _formatted("/stats", query, as_json)


def clusters(*, as_json: bool) -> Question:
    return _formatted("/clusters", [], as_json)


def _formatted(path: str, query: list[tuple[str, str]], as_json: bool) -> Question:
    if as_json:
        return Question(path, (*query, ("format", "json")), JSON_TYPE)
    return Question(path, tuple(query), TEXT_TYPE)
