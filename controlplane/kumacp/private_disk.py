"""Files and sockets for the user of the control plane alone, whatever the umask."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def private_folder(folder: Path) -> None:
    """Make it, for its owner alone, with the parents that are missing, to which nobody else may write; one that
    is there stays as it is. Raises OSError."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o700 if path == folder else 0o755, exist_ok=True)
    if not folder.is_dir():
        raise FileExistsError


@contextlib.contextmanager
def private_sockets() -> Iterator[None]:
    """Sockets that are bound inside; there must be no other thread that makes files meanwhile, and no await."""
    mask = os.umask(0o177)
    try:
        yield
    finally:
        os.umask(mask)
