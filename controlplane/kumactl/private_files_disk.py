"""Files that only their owner may read, written whole or not at all."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Write all files, each with mode 0600, or leave all as they were; raises OSError with a file name."""
    drafts: dict[Path, Path] = {}
    try:
        for target, content in contents.items():
            drafts[target] = _draft(target, content)
        while drafts:
            target = next(iter(drafts))
            drafts[target].replace(target)
            del drafts[target]
    finally:
        for draft in drafts.values():
            draft.unlink(missing_ok=True)


def _draft(target: Path, content: bytes) -> Path:
    """The content on disk, beside the target; all that can fail has failed when it is there."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
    try:
        # A temporary file of tempfile has mode 0600 from the start.
        descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(target)) from None
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
    return draft
