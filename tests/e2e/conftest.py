from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, lab
from zones import World


@pytest.fixture
def mesh_lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as started:
        yield started


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """A failure in a world of many programs shows the last lines of each."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            for world in (value, getattr(value, "world", None)):
                if isinstance(world, World):
                    report.sections.extend(world.logs())
