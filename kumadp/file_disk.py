"""Files that people give: read whole, but never for ever and never without bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from kumamesh.errors import UserError

_MIB = 1024 * 1024
MAX_BYTES = 10 * _MIB


def read_text(path: Path, what: str, *, max_bytes: int = MAX_BYTES, pipe: bool = False) -> str:
    """The text without a byte order mark. Raises UserError that calls the file `what`.

    Only a regular file is read unless `pipe` is set: a pipe that nobody writes to never ends, and one that
    was read once is empty.
    """
    try:
        # Without O_NONBLOCK, opening a pipe waits for its writer.
        handle = os.open(path, os.O_RDONLY if pipe else os.O_RDONLY | os.O_NONBLOCK)
        with open(handle, "rb") as file:
            mode = os.fstat(handle).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or pipe):
                raise UserError(f"{what} {path} cannot be used: it is not a regular file")
            data = file.read(max_bytes + 1)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{what} {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UserError(f"{what} {path} cannot be read: it is not text") from None
    if len(data) > max_bytes:
        raise UserError(f"{what} {path} cannot be used: it is larger than {_size(max_bytes)}")
    return text


def _size(count: int) -> str:
    return f"{count // _MIB} MiB" if count >= _MIB else f"{count // 1024} KiB"
