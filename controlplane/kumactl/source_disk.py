"""Texts with resources: from files, directories, URLs and stdin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from kumactl.download_client import download, is_url, shown
from kumactl.manifest import Source
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import MAX_BYTES

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


def source_name(file: str) -> str:
    """How messages name what the user asked for."""
    if is_url(file):
        return shown(file)
    return "stdin" if file == STDIN else file


def read_sources(file: str, timeout_s: float) -> Iterator[Source]:
    """The text behind a file, URL or `-`, or those of a directory, by name; raises UserError."""
    name = source_name(file)
    if file == STDIN:
        yield Source(name, _decoded(_stdin(), name))
    elif is_url(file):
        yield Source(name, _decoded(download(file, timeout_s), name))
    else:
        for path in _files(Path(file)):
            yield Source(str(path), _decoded(_content(path), str(path)))


def _stdin() -> bytes:
    if sys.stdin is None:
        raise UserError("cannot read stdin: it is closed; name a file with -f")
    try:
        return _bounded(sys.stdin.buffer, "stdin")
    except OSError as error:
        raise UserError(f"cannot read stdin: {error.strerror}") from None


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = sorted(item for item in path.iterdir() if item.suffix in SUFFIXES)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if not found:
        raise UserError(f"the directory {path} has no file that ends in {', '.join(SUFFIXES)}")
    return found


def _content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _bounded(file, str(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise UserError(f"cannot read {str(path)!r}: no file can have such a name") from None


def _bounded(file: BinaryIO, name: str) -> bytes:
    content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise UserError(f"cannot read {name}: it is larger than {MAX_BYTES >> 20} MiB; split it")
    return content


def _decoded(content: bytes, name: str) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UserError(f"cannot read {name}: it is not UTF-8 text") from None
