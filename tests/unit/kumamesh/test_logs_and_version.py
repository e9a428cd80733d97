"""Log lines and version compatibility."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from kumamesh import logs, version


@pytest.fixture(autouse=True)
def _root_logger() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def _log(style: str, level: str = "info") -> str:
    stream = io.StringIO()
    logs.configure(level, style, stream)
    logging.getLogger("kumadp.relay").info("connected to %s", "cp", extra={"attempt": 2})
    logging.getLogger("kumadp.relay").debug("detail")
    return stream.getvalue()


def test_text_has_the_pairs_behind_the_message() -> None:
    assert _log("text").endswith("INFO    kumadp.relay: connected to cp attempt=2\n")


def test_json_has_one_object_a_line() -> None:
    line = json.loads(_log("json"))
    assert (line["level"], line["message"], line["attempt"]) == ("info", "connected to cp", 2)


def test_levels() -> None:
    assert _log("text", "off") == ""
    assert _log("text", "debug").count("\n") == 2


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ("2.13.0", "2.13.10", True),
        ("2.13.0", "2.11.4", True),
        ("2.13.0", "2.10.0", False),
        ("2.13.0", "3.13.0", False),
        ("2.13.0", "unknown", True),
        ("2.13.0", "dev-build", True),
    ],
)
def test_compatible_versions(one: str, other: str, fits: bool) -> None:
    assert version.compatible(one, other) is fits
