"""How the program ends when its surroundings end it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_INTERRUPTED_WHILE_LOADING = """
import sys

class Interrupt:
    def find_spec(self, name, *_):
        if name == "click":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupt())
from kumactl.cli import main
main()
"""


def test_an_interrupt_while_it_loads_is_quiet() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", _INTERRUPTED_WHILE_LOADING], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "")


@pytest.mark.parametrize("arguments", [[], ["get", "--help"], ["config", "view", "--no-config"]])
def test_lost_output_is_one_line(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ran = subprocess.run(
            [sys.executable, "-m", "kumactl", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (ran.returncode, ran.stderr) == (1, "Error: cannot write: No space left on device\n")
