"""A request and its answer, free of any web framework."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kumacp.api.problem import BAD_REQUEST, UNSUPPORTED_MEDIA_TYPE, Problem

MAX_BODY_BYTES = 10 * 1024 * 1024

JSON_TYPE = "application/json"
PROBLEM_TYPE = "application/problem+json"
TEXT_TYPE = "text/plain"
_MAYBE_JSON = frozenset({"", JSON_TYPE, "application/octet-stream"})
_SHOWN_CHARS = 60


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request. `segments` are the path's parts, decoded one by one; `headers` have lower-case names;
    `origin` is scheme, host and port as the client wrote them, for absolute links; `peer` is the address at
    the other end of the connection, "" when it is not known; `certified` tells that it showed a client
    certificate that is trusted; `base` is what the paths of the API are below."""

    method: str
    segments: tuple[str, ...]
    query: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)
    peer: str = ""
    origin: str = "http://localhost"
    certified: bool = False
    base: str = ""

    @property
    def path(self) -> str:
        return "/" + "/".join(self.segments)

    @property
    def url(self) -> str:
        """The whole address without the query, as the client would write it."""
        return self.origin + self.base + self.path

    @property
    def scheme(self) -> str:
        return self.origin.partition(":")[0]

    def json_object(self) -> dict[str, Any]:
        """The body as a JSON object; raises Problem 400, and 415 when it says that it is something else."""
        self._require_json()
        try:
            text = self.body.decode("utf-8-sig")
            value = json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_object)
        except (ValueError, RecursionError) as error:
            raise Problem(400, BAD_REQUEST, f"the body is not valid JSON: {_reason(error)}") from None
        if not isinstance(value, dict):
            raise Problem(400, BAD_REQUEST, "the body must be a JSON object")
        return value

    def _require_json(self) -> None:
        """A body that does not say what it is is taken for JSON. What a page of another site can send without
        asking, a form or plain text, is none."""
        given = self.headers.get("content-type", "")
        media_type = given.partition(";")[0].strip().lower()
        if media_type not in _MAYBE_JSON and not media_type.endswith("+json"):
            shown = media_type if len(media_type) <= _SHOWN_CHARS else media_type[:_SHOWN_CHARS] + "..."
            raise Problem(
                415, UNSUPPORTED_MEDIA_TYPE, f"the body is of type {shown!a}; send JSON as {JSON_TYPE}"
            )


@dataclass(frozen=True, slots=True)
class Answer:
    """One HTTP response; `body` never appears in logs, because a secret may be in it."""

    status: int = 200
    body: bytes = field(default=b"", repr=False)
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


def json_answer(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status, _encode(document), headers=headers or {})


def text_answer(text: str) -> Answer:
    return Answer(200, text.encode(), TEXT_TYPE)


def problem_answer(problem: Problem) -> Answer:
    return Answer(problem.status, _encode(problem.document()), PROBLEM_TYPE, problem.headers)


def _encode(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


class _Refused(ValueError):
    """JSON by its grammar, but not by its meaning."""


def _reason(error: ValueError | RecursionError) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is not a text in UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError | _Refused):
        return str(error)
    return "a number in it has too many digits"


def _refuse_constant(name: str) -> Any:
    raise _Refused(f"{name} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Of a key that is written twice, nobody knows which value was meant."""
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        key = max(counts, key=counts.__getitem__)
        raise _Refused(f"the key {key[:_SHOWN_CHARS]!a} is written twice in one object")
    return found
