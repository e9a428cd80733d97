"""The work dir: given and kept, or temporary and always removed (kuma-dp 1.2)."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from kumadp_bootstrap.paths import check_work_dir
from kumamesh.errors import UserError

log = logging.getLogger(__name__)

_MODE = 0o711
"""Others may pass through, for probes and admin calls by sockets, and list nothing."""
_PREFIX = "kuma-dp-"
_RANDOM_LETTERS = 8
"""That `mkdtemp` adds."""
_MARK = "temporary"
"""A file in our temporary work dirs, there only once the dir is locked. Without it, a dir of this prefix may
be that of another program, or of an agent that has not locked it yet."""


@contextlib.contextmanager
def work_dir(given: Path | None) -> Iterator[Path]:
    """A directory that this run alone uses."""
    with _temporary() if given is None else _kept(given.expanduser().absolute()) as folder:
        yield folder


@contextlib.contextmanager
def _temporary() -> Iterator[Path]:
    parent = _parent()
    _remove_abandoned(parent)
    try:
        made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as error:
        raise UserError(f"no temporary directory can be made: {error}; give --work-dir") from None
    try:
        made.chmod(_MODE)
        with _locked(made):
            (made / _MARK).touch(0o600)
            yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _parent() -> Path:
    """Where temporary files are kept, or /tmp where the paths of sockets would be too long there."""
    parent = Path(tempfile.gettempdir())
    try:
        check_work_dir(str(parent / f"{_PREFIX}{'x' * _RANDOM_LETTERS}"))
    except UserError:
        return Path("/tmp")  # noqa: S108
    return parent


@contextlib.contextmanager
def _kept(folder: Path) -> Iterator[Path]:
    check_work_dir(str(folder))
    with contextlib.ExitStack() as held:
        try:
            _make(folder)
            held.enter_context(_locked(folder))
            with tempfile.TemporaryFile(dir=folder):
                pass  # only trying tells, for root and on read-only mounts too
        except OSError as error:
            reason = error.strerror or error
            raise UserError(
                f"the work dir {folder} cannot be used: {reason}; give another --work-dir"
            ) from None
        mode = folder.stat().st_mode
        if mode & stat.S_IWOTH and not mode & stat.S_ISVTX:
            log.warning("every user of this host can replace files in the work dir %s", folder)
        yield folder


def _make(folder: Path) -> None:
    """With the parents that are missing; nobody else may write to them, whatever the umask."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        path.mkdir(mode=0o755, exist_ok=True)
    if missing:
        folder.chmod(_MODE)


def _remove_abandoned(parent: Path) -> None:
    """Remove the temporary work dirs that killed agents of this user left: their locks went with them."""
    for folder in parent.glob(f"{_PREFIX}*/"):
        with contextlib.suppress(OSError, UserError):
            found = folder.lstat()
            ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
            if ours and (folder / _MARK).exists():
                with _locked(folder):
                    shutil.rmtree(folder)


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


def remove_stale_socket(path: Path) -> None:
    """The work dir is this run's alone, so a socket there was left by one that was killed; anything else is
    not ours to remove."""
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise UserError(f"{path} is in the way of a socket; remove it or give another --work-dir")
        path.unlink()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UserError(
            f"{path}, left by another run, cannot be removed: {error.strerror}; give another --work-dir"
        ) from None


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
