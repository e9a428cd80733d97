"""Runs all tests in two processes side by side, because those of whole programs mostly wait for them.

What one prints is shown at once, that of the other when it is done; the exit code is that of one that failed.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile

PARTS = (
    ("tests/unit", "tests/golden", "tests/fuzz", "tests/integration"),
    ("tests/e2e",),
)


def main() -> int:
    shown, hidden = PARTS
    with tempfile.TemporaryFile() as output:
        beside = subprocess.Popen(_command(hidden), stdout=output, stderr=subprocess.STDOUT)
        codes = [subprocess.call(_command(shown)), beside.wait()]
        output.seek(0)
        sys.stdout.buffer.write(output.read())
    return next(filter(None, codes), 0)


def _command(part: tuple[str, ...]) -> list[str]:
    return [sys.executable, "-m", "pytest", *sys.argv[1:], *part]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # both processes have it, too
        sys.exit(130)
