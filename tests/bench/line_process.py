"""A script of these benchmarks in a process of its own, to which one speaks in lines of JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


class LineProcess:
    def __init__(self, script: str) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def write(self, message: Mapping[str, Any]) -> None:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(message) + "\n")
        self._process.stdin.flush()

    def read(self) -> Any:
        """The next line that it says."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, f"{self._script} has ended"
        return json.loads(line)

    def hang_up(self) -> None:
        """Say no more; scripts end then."""
        assert self._process.stdin
        self._process.stdin.close()

    def wait(self) -> None:
        self._process.wait(60)
