from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import Lab, lab


@pytest.fixture
def mesh_lab(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as started:
        yield started
