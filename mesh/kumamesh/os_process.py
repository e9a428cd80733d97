"""What the kernel is asked to do for and with this process."""

from __future__ import annotations

import contextlib
import os
import resource
import signal

_PR_SET_PDEATHSIG = 1


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent is gone, even by kill -9; exits at once if it is."""
    import ctypes  # takes 2 ms, and some interpreters are built without

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(0)


def dump_no_core() -> None:
    """The memory of this process and of those it starts holds keys: nothing of it goes to a file, unless a
    debugger asks for that anew."""
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))


def raise_file_limit() -> int:
    """Allow as many open files as the administrator permits; how many that are. The usual 1,024 are for
    programs that use select(2), and most programs inherit them."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        # Refused when the system's own limit was lowered below this one.
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
