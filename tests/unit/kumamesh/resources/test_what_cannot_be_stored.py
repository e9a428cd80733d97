"""Documents that are JSON, but that nobody could be shown once they were stored."""

from __future__ import annotations

import json
from typing import Any

import pytest

from resource_documents import dataplane, document, violations

SURROGATES = "a resource must not hold half of a surrogate pair (\\ud800 to \\udfff)"
TOO_DEEP = "a resource must not be nested so deeply"


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {}
    for _ in range(depth):
        inner = {"a": inner}
    return inner


@pytest.mark.parametrize(
    "text",
    [
        '{"type": "Zone", "name": "\\ud800"}',
        '{"type": "Zone", "name": "a", "labels": {"a": "\\udfff"}}',
        '{"type": "Zone", "name": "a", "\\ud83d": 1}',
    ],
)
def test_half_a_character(text: str) -> None:
    assert violations(json.loads(text)) == [("", SURROGATES)]


def test_a_whole_character_of_two_halves() -> None:
    told = violations(json.loads('{"type": "Zone", "name": "\\ud83d\\ude00"}'))
    assert [field for field, _ in told] == ["name"]


def test_nesting_beyond_the_stack() -> None:
    assert violations(document("Mesh", mtls=nested(100_000))) == [("", TOO_DEEP)]


def test_nesting_beyond_every_resource() -> None:
    told = violations(dataplane() | {"metrics": {"type": "prometheus", "conf": nested(80)}})
    (field,) = [field for field, text in told if text == "is nested too deeply"]
    assert field.startswith('metrics.conf["a"].a.a')
