"""Log lines and version compatibility."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator

import pytest

from kumamesh import logs, version
from kumamesh.line_budget import LineBudget


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


FORGED = "x\r\n2026-01-01T00:00:00.000Z INFO    kumacp.app: all is well\x1b[2J\u2028\x85\x9b"


def _one(style: str, message: str, **extra: object) -> str:
    stream = io.StringIO()
    logs.configure("info", style, stream)
    logging.getLogger("kumacp.test").warning("refused: %s", message, extra=extra)
    return stream.getvalue()


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_others_write_begins_no_line_and_commands_no_terminal(style: str) -> None:
    line = _one(style, FORGED, proxy=FORGED)
    assert line.endswith("\n")
    assert line[:-1].isprintable()
    assert "all is well" in line


def test_a_value_cannot_pass_for_several() -> None:
    assert _one("text", "no", proxy='a level="b c"', empty="").endswith(
        'refused: no proxy="a level=\\"b c\\"" empty=""\n'
    )


@pytest.mark.parametrize("style", ["text", "json"])
def test_what_is_endless_is_cut(style: str) -> None:
    line = _one(style, "m" * 100_000, names="n" * 100_000)
    assert len(line) < 3 * logs.MAX_TEXT_CHARS
    assert "(100009 characters)" in line
    assert "(100000 characters)" in line


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_line_of_a_trace_can_pass_for_one_of_the_log(style: str) -> None:
    stream = io.StringIO()
    logs.configure("info", style, stream)
    try:
        raise ValueError(FORGED)
    except ValueError:
        logging.getLogger("kumacp.test").exception("a fault")
    lines = stream.getvalue().splitlines()
    assert "a fault" in lines[0]
    assert all(line.startswith("    ") and line.isprintable() for line in lines[1:])
    assert any("ValueError" in line for line in lines)


def test_levels_change_while_the_program_runs_and_go_back() -> None:
    stream = io.StringIO()
    levels = logs.configure("info", "text", stream, package="kumamesh_test")
    one, other = logging.getLogger("kumamesh_test.one.part"), logging.getLogger("kumamesh_test.other")
    library = logging.getLogger("aiohttp")

    def heard() -> str:
        stream.truncate(0)
        for logger in (one, other, library):
            logger.debug("debug of %s", logger.name)
        return stream.getvalue()

    assert heard() == ""
    levels.set_component("one", "debug")
    assert "one.part" in heard()
    assert "other" not in heard()
    assert (levels.level, levels.components) == ("info", {"kumamesh_test.one": "debug"})
    levels.set("debug")
    assert "other" in heard()
    assert "aiohttp" not in heard()
    levels.set_component("aiohttp", "debug")
    assert "aiohttp" in heard()
    levels.set("info")
    assert "aiohttp" in heard()
    levels.set_component("one", "off")
    assert "one.part" not in heard()
    assert levels.reset() == {"kumamesh_test.one": "off", "aiohttp": "debug"}
    assert heard() == ""
    assert (levels.level, levels.components) == ("info", {})


@pytest.mark.parametrize(
    ("component", "level", "text"),
    [
        ("kumamesh_test.other", "loud", "the level must be one of off, info, debug"),
        ("kumamesh_test.othr", "info", "did you mean kumamesh_test.other?"),
        ("../../etc", "info", "there is no component '../../etc'"),
        ("", "info", "there is no component ''"),
    ],
)
def test_levels_and_components_that_are_none_are_refused(component: str, level: str, text: str) -> None:
    logging.getLogger("kumamesh_test.other")
    levels = logs.configure("info", "text", io.StringIO())
    with pytest.raises(ValueError, match=re.escape(text)):
        levels.set_component(component, level)
    assert levels.components == {}


def test_a_flood_of_one_kind_is_left_out_counted_and_hides_no_other() -> None:
    budget = LineBudget(lines=2, interval=10.0)
    assert [budget.admit("a", f"line {number}", 100.0) for number in range(4)] == [
        "line 0",
        "line 1",
        None,
        None,
    ]
    assert budget.admit("b", "other", 100.0) == "other"
    assert budget.admit("a", "again", 110.0) == "again (2 lines like this were left out)"
    assert budget.admit("a", "more", 110.0) == "more"
    assert budget.held == 2


def test_a_clock_that_goes_back_silences_nobody() -> None:
    budget = LineBudget(lines=1, interval=10.0)
    assert budget.admit("a", "one", 100.0) == "one"
    assert budget.admit("a", "two", 50.0) == "two"


def test_kinds_are_forgotten_before_they_are_too_many() -> None:
    budget = LineBudget(lines=1)
    assert all(budget.admit(f"kind {number}", "line", 1.0) for number in range(10_000))
    assert len(budget._windows) <= 256


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
