"""Ctrl-C while a program is still being loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

_INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "{module}":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
sys.argv[1:] = ["run"]
from {program}.cli import main
main()
"""


@pytest.mark.parametrize(
    ("program", "module"),
    [
        ("kumadp", "click"),
        ("kumadp", "kumadp.commands.run"),
        ("kumacp", "click"),
        ("kumacp", "yaml"),
        ("kumacp", "kumacp.app"),
    ],
)
def test_an_interrupt_while_it_loads_is_quiet(program: str, module: str) -> None:
    code = _INTERRUPTED_WHILE_LOADING.format(program=program, module=module)
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr.strip()) == (130, "", "")
