"""Started programs end with the one that started them, even if that one is killed."""

from __future__ import annotations

import os
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
import shutil, signal, subprocess, sys
from kumadp.parent_process import ending_with_parent
number, has_setpriv, *program = sys.argv[1:]
if not has_setpriv:
    shutil.which = lambda _: None
child = subprocess.Popen([*ending_with_parent(signal.Signals(int(number))), *program])
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
    number: signal.Signals, has_setpriv: bool, tmp_path: Path
) -> None:
    if has_setpriv and shutil.which("setpriv") is None:
        pytest.skip("this host has no setpriv")
    told = tmp_path / "told"
    argv = [sys.executable, "-c", _PARENT, str(int(number)), "yes" if has_setpriv else ""]
    child = [sys.executable, "-c", _TELLS, str(told)]
    parent = subprocess.Popen([*argv, *child], stdout=subprocess.PIPE, text=True)
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


@pytest.mark.parametrize("has_setpriv", [True, False])
def test_a_program_whose_parent_ended_before_it_could_ask_does_not_start(
    has_setpriv: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not has_setpriv:
        monkeypatch.setattr(shutil, "which", lambda _: None)
    here = [*ending_with_parent(signal.SIGKILL), sys.executable, "-c", "print('started')"]
    # For the program it is the same whether its parent ended or was another one from the beginning.
    monkeypatch.setattr(os, "getpid", os.getppid)
    elsewhere = [*ending_with_parent(signal.SIGKILL), sys.executable, "-c", "print('started')"]
    outputs = [
        subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60).stdout
        for argv in (here, elsewhere)
    ]
    assert outputs == ["started\n", ""]
