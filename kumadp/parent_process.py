"""Programs that do not outlive the one that starts them, however that one ends."""

from __future__ import annotations

import os
import shutil
import signal
import sys

# Both look who their parent is after they have asked the kernel: one that ended before left them to another.
_EXEC_IF_PARENT = '[ "$PPID" = "$0" ] && exec "$@"'
_PRCTL_THEN_EXEC = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,int(sys.argv[1]),0,0,0);"
    "os.getppid()==int(sys.argv[2]) and os.execv(sys.argv[3],sys.argv[3:])"
)


def ending_with_parent(number: signal.Signals) -> list[str]:
    """Command prefix, for this process to start a program with, that has the kernel send the signal to the
    program when the thread that started it ends: start it from the main thread. A `preexec_fn` would do the
    same at the price of a real fork."""
    setpriv, shell, parent = shutil.which("setpriv"), shutil.which("sh"), str(os.getpid())
    if setpriv and shell:
        name = number.name.removeprefix("SIG")
        return [setpriv, "--pdeathsig", name, "--", shell, "-c", _EXEC_IF_PARENT, parent]
    return [sys.executable, "-I", "-S", "-c", _PRCTL_THEN_EXEC, str(int(number)), parent]
