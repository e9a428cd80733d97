"""Fuzz every target with many inputs and print what that took. `python tests/fuzz/run.py [TOTAL [SEED]]`

Ends with 1 when an input breaks a property, after all targets had their turn; the input is printed whole, and
written to a file so that it can become a test.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import fuzz
from fuzz_targets import ALL

TOTAL = 4_000_000
_ROW = "{:<28} {:>10} {:>8} {:>9} {:>10} {:>9} {:>11}"


def main(total: int, seed: int) -> int:
    """How many targets are broken."""
    logging.disable(logging.CRITICAL)
    shares = sum(target.share for target in ALL)
    print(_ROW.format("target", "inputs", "seconds", "inputs/s", "slowest ms", "outcomes", "growth MiB"))
    inputs = broken = 0
    begun = time.monotonic()
    for target in ALL:
        try:
            figures = fuzz.run(target, int(total * target.share / shares) + 1, seed=seed)
        except fuzz.Broken as error:
            broken += 1
            print(f"BROKEN {error}\nkept in {_keep(error.data)}", flush=True)
            continue
        inputs += figures.inputs
        print(_line(figures), flush=True)
    print(f"{inputs:,} inputs in {time.monotonic() - begun:.0f} s, {broken} targets broken, seed {seed}")
    return broken


def _line(figures: fuzz.Figures) -> str:
    return _ROW.format(
        figures.target,
        f"{figures.inputs:,}",
        f"{figures.seconds:.1f}",
        f"{figures.inputs / figures.seconds:,.0f}",
        f"{figures.slowest_s * 1e3:.1f}",
        figures.outcomes,
        f"{figures.growth_mib:.1f}",
    )


def _keep(data: bytes) -> Path:
    path = Path(tempfile.gettempdir(), f"fuzz-{hashlib.sha256(data).hexdigest()[:12]}")
    path.write_bytes(data)
    return path


if __name__ == "__main__":
    numbers = [int(argument) for argument in sys.argv[1:3]]
    sys.exit(bool(main(*numbers, *(TOTAL, 0)[len(numbers) :])))
