"""Runs iptables and nft, and finds them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

_FOLDERS = ("/usr/sbin", "/sbin", "/usr/bin", "/bin", "/usr/local/sbin")
_TIME_LIMIT_S = 120
_LOCKED = 4
"""Exit code of iptables when somebody else holds the tables for too long."""


class ProgramError(Exception):
    """A program failed; the text is what it said, on one line. `passing`: it may do better a moment later."""

    def __init__(self, program: str, code: int, said: str) -> None:
        reason = " ".join(line.strip() for line in said.splitlines() if line.strip() and "--help" not in line)
        super().__init__(f"{os.path.basename(program)} failed: {reason or f'exit code {code}'}")
        self.passing = code == _LOCKED


def run(argv: Sequence[str], stdin: str = "") -> str:
    """What the program prints; raises ProgramError."""
    try:
        done = subprocess.run(
            argv,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_TIME_LIMIT_S,
            env={**os.environ, "LC_ALL": "C"},
            check=False,
        )
    except OSError as error:
        raise ProgramError(argv[0], 127, error.strerror or "cannot be run") from None
    except subprocess.TimeoutExpired:
        raise ProgramError(argv[0], _LOCKED, f"no end within {_TIME_LIMIT_S} s") from None
    if done.returncode != 0:
        raise ProgramError(argv[0], done.returncode, done.stderr or done.stdout)
    return done.stdout


def find(name: str) -> str:
    """The path of a program, "" when there is none; also where only root's PATH leads."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *_FOLDERS))
    return shutil.which(name, path=path) or ""
