"""One kumactl at a time in a network: what it read in the tables holds until it has changed them."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

from kumamesh.errors import UserError

LOCK = Path("/run/kumactl-transparent-proxy.lock")
_NETWORK = Path("/proc/thread-self/ns/net")
_AGAIN_S = 0.05


@contextlib.contextmanager
def alone(wait_s: float) -> Iterator[None]:
    """Until it ends, or is killed, no other is. Raises UserError after the time to wait, of which 0 is
    without limit. Where nothing can be written to /run, there is no lock."""
    try:
        # Only root may open it, so nobody else can keep root out.
        descriptor = os.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        yield
        return
    try:
        _acquire(descriptor, wait_s)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, wait_s: float) -> None:
    # Networks of one host may share the file, but each has its own byte of it.
    byte = _NETWORK.stat().st_ino
    deadline = time.monotonic() + wait_s
    while True:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
            return
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise UserError(f"cannot lock {LOCK}: {error.strerror}") from None
        if wait_s and time.monotonic() >= deadline:
            raise UserError(
                "another kumactl is changing the tables of this host; nothing was changed; run this command "
                "again when it has ended, or raise --wait"
            )
        time.sleep(_AGAIN_S)
