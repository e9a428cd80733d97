"""Programs that do not outlive the one that starts them, however that one ends."""

from __future__ import annotations

import shutil
import signal
import sys

_PRCTL_THEN_EXEC = (
    "import ctypes,os,sys;"
    "ctypes.CDLL(None).prctl(1,int(sys.argv[1]),0,0,0);"
    "os.execv(sys.argv[2],sys.argv[2:])"
)


def ending_with_parent(number: signal.Signals) -> list[str]:
    """Command prefix that has the kernel send the signal to the program when the thread that started it ends:
    start it from the main thread. A `preexec_fn` would do the same at the price of a real fork."""
    setpriv = shutil.which("setpriv")
    if setpriv:
        return [setpriv, "--pdeathsig", number.name.removeprefix("SIG"), "--"]
    return [sys.executable, "-I", "-S", "-c", _PRCTL_THEN_EXEC, str(int(number))]
