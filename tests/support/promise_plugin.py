"""Pytest plugin: promises are known by name, and nothing is skipped where REQUIRE_ALL=1."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PROMISES = Path(__file__).resolve().parents[2] / "docs" / "promises.toml"
REPORT_VARIABLE = "PROMISES_REPORT"


def _marks(item: pytest.Item) -> Iterator[tuple[str, str]]:
    for mark in item.iter_markers("promise"):
        yield mark.args[0], mark.kwargs["part"]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    known = tomllib.loads(PROMISES.read_text(encoding="utf-8"))
    for item in items:
        for row, part in _marks(item):
            if part not in known.get(row, {}).get("parts", ()):
                raise pytest.UsageError(
                    f"{item.nodeid}: docs/promises.toml has no row {row} with a part {part!r}"
                )


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    outcome = yield
    report = outcome.get_result()
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("REQUIRE_ALL") == "1":
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and REQUIRE_ALL=1: {report.longrepr}"
    path = os.environ.get(REPORT_VARIABLE)
    if path and (report.when == "call" or report.outcome != "passed"):
        with Path(path).open("a", encoding="utf-8") as file:
            for row, part in _marks(item):
                file.write(json.dumps([row, part, item.nodeid, report.outcome]) + "\n")
