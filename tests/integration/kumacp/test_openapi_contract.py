"""What the OpenAPI document promises is what a running API does: requests made from the document are never
answered 5xx, nor with a status, a content type or a shape that the document does not tell."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kumacp.api.openapi import document
from running_api import running_api

CHECKS = [
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
ASKS_AN_ENVOY = ("/xds", "/stats", "/clusters")
"""Ends of paths that are answered 503 here, where no Envoy is."""
OFTEN = {"mesh": ["default"], "name": ["default", "a", "allow-all-default", "all-services-default"]}
"""Names that are there, or that a request before may have made."""


def _with_names_that_exist() -> dict[str, Any]:
    """The document, with names that lead somewhere more often than random text does."""
    whole = document()
    for path in whole["paths"].values():
        for operation in path.values():
            for parameter in operation.get("parameters", ()):
                if parameter["in"] == "path" and parameter["name"] in OFTEN:
                    parameter["schema"] = {"anyOf": [{"enum": OFTEN[parameter["name"]]}, parameter["schema"]]}
    return whole


schema = schemathesis.openapi.from_dict(_with_names_that_exist())


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of an API in a thread with a loop of its own: requests are made one by one, without asyncio."""
    found: list[str] = []
    listening, done = threading.Event(), threading.Event()
    thread = threading.Thread(target=_serve, args=(tmp_path_factory.mktemp("api"), found, listening, done))
    thread.start()
    listening.wait()
    try:
        yield found[0]
    finally:
        done.set()
        thread.join()


def _serve(folder: Path, found: list[str], listening: threading.Event, done: threading.Event) -> None:
    async def main() -> None:
        try:
            async with running_api(folder) as api:
                found.append(api.http_url)
                listening.set()
                await asyncio.to_thread(done.wait)
        finally:
            listening.set()

    asyncio.run(main())


def _aim(case: schemathesis.Case) -> None:
    """Let more writes reach what lies behind the first checks: no version that nothing has, and the names of
    the URL in the body."""
    case.headers.pop("If-Match", None)
    if isinstance(case.body, dict):
        case.body.update({name: value for name, value in case.path_parameters.items() if name in case.body})


@schema.parametrize()
@settings(
    max_examples=4,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_answers_are_what_the_document_promises(case: schemathesis.Case, url: str) -> None:
    if case.method == "PUT":
        _aim(case)
    without_fault = [] if case.operation.path.endswith(ASKS_AN_ENVOY) else [not_a_server_error]
    case.call_and_validate(base_url=url, checks=[*CHECKS, *without_fault])
