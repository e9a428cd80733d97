"""Files and sockets for the user of the control plane alone, whatever the umask."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make it for its owner alone, and the parents that are missing, to which nobody else may write. One that
    is there stays as it is. Raises OSError."""
    for parent in reversed([path for path in folder.parents if not path.exists()]):
        parent.mkdir(mode=0o755, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def private_sockets() -> Iterator[None]:
    """Sockets that are bound inside. The mask is that of the whole process: await nothing here."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
