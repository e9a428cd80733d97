"""`kuma-cp run` when a part of it, or the machine under it, lets it down."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from lab import ControlPlane, Lab, Program, lab


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


def test_it_raises_its_limit_of_open_files_and_says_when_that_is_low(started: Lab) -> None:
    plane = ControlPlane(started.folder)
    command = [
        "sh",
        "-c",
        'ulimit -Sn 300; ulimit -Hn 1500; exec "$@"',
        "sh",
        sys.executable,
        "-m",
        "kumacp",
        "run",
    ]
    plane.program = Program("kuma-cp", command, started.folder, plane.environ)
    started.adopt(plane.program)
    plane.program.wait_until(lambda: "kuma-cp is ready" in plane.program.log, "ready")
    assert "only 1500 files may be open at once, which is enough for about 500 proxies" in plane.program.log
    main = psutil.Process(plane.program.process.pid)
    for process in (main, *main.children()):
        assert process.rlimit(psutil.RLIMIT_NOFILE) == (1_500, 1_500)


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
