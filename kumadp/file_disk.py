"""Files that people give: read whole, but never for ever and never without bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from kumamesh.errors import UserError

_MIB = 1024 * 1024
_MAX_BYTES = 10 * _MIB


def read_text(path: Path, what: str, *, max_bytes: int = _MAX_BYTES, pipe: bool = False) -> str:
    """The text without a byte order mark. Raises UserError that calls the file `what`.

    Only a regular file is read unless `pipe` is set: a pipe that nobody writes to never ends, and one that
    was read once is empty.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags if pipe else flags | os.O_NONBLOCK)

    what = f"{what} {path}"
    try:
        with open(path, "rb", opener=without_waiting) as file:
            if not pipe and not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{what} cannot be read: it is not a regular file")
            return _decoded(file, what, max_bytes)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}") from None


def read_standard_input() -> str:
    """Raises UserError; a closed standard input is empty."""
    what = "standard input"
    try:
        with open(0, "rb", closefd=False) as file:
            return _decoded(file, what, _MAX_BYTES)
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}") from None


def _decoded(file: BinaryIO, what: str, max_bytes: int) -> str:
    data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        limit = f"{max_bytes // _MIB} MiB" if max_bytes >= _MIB else f"{max_bytes // 1024} KiB"
        raise UserError(f"{what} cannot be read: it is larger than {limit}")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"{what} cannot be read: it is not text") from None
