"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write all files, each with mode 0600, or leave all as they were; raises OSError with a file name."""
    drafts: dict[Path, Path] = {}
    try:
        for target, content in contents.items():
            with _new_draft(target) as file:
                drafts[target] = Path(file.name)
                _fill(file, content)
        while drafts:
            target = next(iter(drafts))
            drafts[target].replace(target)
            del drafts[target]
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _new_draft(target: Path) -> IO[bytes]:
    """An empty file beside the target."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    try:
        # A temporary file of tempfile has mode 0600 from the start.
        return tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None


def _fill(draft: IO[bytes], content: bytes) -> None:
    """On disk when this returns: all that can fail has failed then."""
    draft.write(content)
    draft.flush()
    os.fsync(draft.fileno())
