"""A request and its answer, free of any web framework."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kumacp.api.problem import BAD_REQUEST, Problem

MAX_BODY_BYTES = 10 * 1024 * 1024

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
TEXT_TYPE = "text/plain"


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `segments` are the path's parts, decoded one by one; `headers` have lower-case names;
    `origin` is scheme, host and port as the client wrote them, for absolute links; `peer` is the address at
    the other end of the connection, "" when it is not known."""

    method: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    peer: str = ""
    origin: str = "http://localhost"

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; raises Problem 400."""
        try:
            value = json.loads(self.body, parse_constant=_refuse_constant)
        except (ValueError, RecursionError) as error:
            reason = error if isinstance(error, json.JSONDecodeError) else "not a JSON text in UTF-8"
            raise Problem(400, BAD_REQUEST, f"the body is not valid JSON: {reason}") from None
        if not isinstance(value, dict):
            raise Problem(400, BAD_REQUEST, "the body must be a JSON object")
        return value


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response; `body` never appears in logs, because a secret may be in it."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(document: Any, status: int = 200) -> Answer:
    return Answer(status, _encode(document))


def text_answer(text: str) -> Answer:
    return Answer(200, text.encode(), TEXT_TYPE)


def problem_answer(problem: Problem) -> Answer:
    return Answer(problem.status, _encode(problem.document()), PROBLEM_TYPE, problem.headers)


def _encode(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _refuse_constant(name: str) -> Any:
    raise ValueError(name)
