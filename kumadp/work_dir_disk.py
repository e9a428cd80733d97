"""The work dir: given and kept, or temporary and always removed (kuma-dp 1.2)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kumadp_bootstrap.paths import check_work_dir
from kumamesh.errors import UserError

_MODE = 0o711
"""Others may pass through, for probes and admin calls by sockets, and list nothing."""


@contextlib.contextmanager
def work_dir(given: Path | None) -> Iterator[Path]:
    """A directory that this run alone uses."""
    if given is None:
        try:
            made = Path(tempfile.mkdtemp(prefix="kuma-dp-"))
        except OSError as error:
            raise UserError(f"no temporary directory can be made: {error}; give --work-dir") from None
        try:
            made.chmod(_MODE)
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)
        return
    folder = given.expanduser().absolute()
    check_work_dir(str(folder))
    with contextlib.ExitStack() as held:
        try:
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                folder.chmod(_MODE)
            held.enter_context(_locked(folder))
            with tempfile.TemporaryFile(dir=folder):
                pass  # only trying tells, for root and on read-only mounts too
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"the work dir {folder} cannot be used: {reason}; give another --work-dir"
            ) from None
        yield folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Two agents in one work dir would take each other's sockets away."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"the work dir {folder} is in use by another kuma-dp; give another --work-dir"
            ) from None
        yield
    finally:
        os.close(handle)


def write_private(path: Path, text: str) -> None:
    """A file that its owner alone can read, never visible half written."""
    fresh = path.with_name(path.name + ".new")
    try:
        fresh.unlink(missing_ok=True)
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written: {error.strerror}") from None
