"""Golden files: what a function gave when somebody last looked at it. `UPDATE_GOLDENS=1` writes them anew."""

from __future__ import annotations

import os
from pathlib import Path

UPDATE = os.environ.get("UPDATE_GOLDENS") == "1"


def assert_golden(path: Path, text: str, *, update: bool = UPDATE) -> None:
    """Compare with the file, or write it."""
    if update:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), (
        f"{path.name} does not exist: run the test with UPDATE_GOLDENS=1 and read what it wrote"
    )
    assert text == path.read_text(), f"differs from {path.name}; if that is meant, run with UPDATE_GOLDENS=1"
