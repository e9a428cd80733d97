"""`kuma-cp run` when a part of it, or the machine under it, lets it down."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lab import Lab, lab


@pytest.fixture
def started(tmp_path: Path):
    with lab(tmp_path) as opened:
        yield opened


def _tidy(log: str) -> str:
    """The last line, when nothing before it is noise of a crash."""
    assert "Traceback" not in log
    assert "RuntimeWarning" not in log
    assert "Event loop is closed" not in log
    return log.splitlines()[-1]


def test_it_ends_with_its_front(started: Lab) -> None:
    plane = started.control_plane()
    (front,) = psutil.Process(plane.program.process.pid).children()
    front.kill()
    assert plane.program.process.wait(30) == 1
    assert _tidy(plane.program.log).startswith("Error: the process in front of port")


def test_its_front_ends_with_it(started: Lab) -> None:
    plane = started.control_plane()
    (front,) = psutil.Process(plane.program.process.pid).children()
    plane.kill()
    front.wait(30)


def _spoil_spec(database: sqlite3.Connection) -> None:
    database.execute("""UPDATE resources SET spec = '{"hidden": "s3cret"}' WHERE type = 'Mesh'""")


def _spoil_json(database: sqlite3.Connection) -> None:
    database.execute("UPDATE resources SET spec = '{s3cret' WHERE type = 'GlobalSecret'")


def _spoil_type(database: sqlite3.Connection) -> None:
    database.execute("UPDATE resources SET type = 's3cret' WHERE type = 'TrafficPermission'")


@pytest.mark.parametrize("spoil", [_spoil_spec, _spoil_json, _spoil_type])
def test_rows_that_it_cannot_read(started: Lab, spoil: Callable[[sqlite3.Connection], None]) -> None:
    plane = started.control_plane()
    assert plane.stop() == 0
    plane.program.log_path.unlink()
    database = sqlite3.connect(plane.work_dir / "kuma-cp.db")
    with database:
        spoil(database)
    database.close()
    with pytest.raises(AssertionError, match="ended with 1"):
        plane.start()
    line = _tidy(plane.program.log)
    assert "it holds resources that this version cannot read" in line
    assert "s3cret" not in plane.program.log
