"""Started programs end with the one that started them, even if that one is killed."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from kumadp.parent_process import ending_with_parent
from lab import eventually

_PARENT = """
import signal, subprocess, sys
child = subprocess.Popen(sys.argv[1:])
print(child.pid, flush=True)
signal.pause()
"""
_TELLS = """
import pathlib, signal, sys
def end(*_):
    pathlib.Path(sys.argv[1]).write_text("told")
    sys.exit()
signal.signal(signal.SIGTERM, end)
print("listening", flush=True)
signal.pause()
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("has_setpriv", [True, False])
def test_a_program_ends_with_its_killed_parent(
    number: signal.Signals, has_setpriv: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if has_setpriv and shutil.which("setpriv") is None:
        pytest.skip("this host has no setpriv")
    if not has_setpriv:
        monkeypatch.setattr(shutil, "which", lambda _: None)
    told = tmp_path / "told"
    child = [*ending_with_parent(number), sys.executable, "-c", _TELLS, str(told)]
    parent = subprocess.Popen([sys.executable, "-c", _PARENT, *child], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        lines = {parent.stdout.readline().strip(), parent.stdout.readline().strip()}
        assert "listening" in lines
        (pid,) = (int(line) for line in lines - {"listening"})
        process = psutil.Process(pid)
        parent.kill()
        parent.wait()
    eventually(lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE, "the end")
    assert told.exists() is (number is signal.SIGTERM)
