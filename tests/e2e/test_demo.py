"""`kuma-dp demo` leaves nothing running, however it ends."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from lab import Program, eventually


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Program]:
    argv = [sys.executable, "-m", "kumadp", "demo", "--keep"]
    program = Program("demo", argv, tmp_path, {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    yield program
    program.end(signal.SIGINT, timeout_s=90)


def _descendants(program: Program) -> list[psutil.Process]:
    return psutil.Process(program.process.pid).children(recursive=True)


def _living(processes: list[psutil.Process]) -> list[str]:
    alive = (each for each in processes if each.is_running() and each.status() != psutil.STATUS_ZOMBIE)
    return [each.name() for each in alive]


def test_a_demo_that_is_killed_takes_its_programs_with_it(demo: Program, tmp_path: Path) -> None:
    demo.wait_until(lambda: "answered through both Envoys" in demo.log, "both Envoys", timeout_s=90)
    started = _descendants(demo)
    assert sum("envoy" in each.name() for each in started) >= 2
    demo.process.send_signal(signal.SIGKILL)
    demo.process.wait()
    eventually(lambda: not _living(started), "the end of all programs", timeout_s=60)
    shutil.rmtree(tmp_path, ignore_errors=True)


def test_a_demo_that_is_interrupted_ends_in_order(demo: Program, tmp_path: Path) -> None:
    demo.wait_until(lambda: "Ctrl-C ends it" in demo.log, "the end of the story", timeout_s=120)
    started = _descendants(demo)
    assert demo.end(signal.SIGINT, timeout_s=90) == 0
    assert not _living(started)
    assert "everything is stopped and removed" in demo.log
    assert not list(tmp_path.glob("kuma-demo-*"))


def test_the_demo_with_two_zones_shows_what_goes_on_without_global(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "kumadp", "demo", "--zones", "2"]
    program = Program("demo", argv, tmp_path, {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)})
    assert program.process.wait(300) == 0, program.log
    rows = {line[5:50].strip(): line[60:] for line in program.log.splitlines()}
    across = next(text for step, text in rows.items() if step.startswith("web -> http://backend.mesh"))
    assert "40 requests: backend-zone-2 40; the caller is URI=spiffe://default/web" in across
    without_global = rows["global control plane killed: calls go on"]
    assert "FAILED" not in without_global
    assert "backend-zone-1" in without_global
    assert rows["backend of zone-1 killed: others take over"].endswith("then 40 requests: backend-zone-2 40")
    assert rows["global back: zones join again"].endswith("zone-1 Online, zone-2 Online")
    assert not list(tmp_path.glob("kuma-demo-*"))
