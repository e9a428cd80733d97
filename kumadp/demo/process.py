"""Programs that the demo starts, watches and ends."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from kumadp.parent_process import ending_with_parent
from kumamesh.errors import UserError

STOP_TIMEOUT_S = 45.0
POLL_S = 0.01


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on at this moment, all different."""
    with contextlib.ExitStack() as stack:
        found = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            found.append(sock.getsockname()[1])
        return found


class Program:
    """One started process with its log file; the process group is its own, so that a Ctrl-C at the terminal
    reaches the demo alone, which then ends the programs in order. A demo that is killed ends them, too."""

    def __init__(self, name: str, module: Sequence[str], environ: Mapping[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        # What the user set for programs of their own is not meant for these.
        theirs = {key: value for key, value in os.environ.items() if not key.startswith("KUMA")}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [*ending_with_parent(signal.SIGTERM), sys.executable, "-m", *module],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**theirs, **environ},
                start_new_session=True,
            )

    def wait_until(self, condition: Callable[[], bool], what: str, timeout_s: float = 60.0) -> None:
        """Poll until the condition holds; UserError with the end of the log when the process ends first."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            if self.process.poll() is not None:
                raise UserError(f"{self.name} ended with code {self.process.returncode}: {self.last_line()}")
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.name}: {what} did not happen in {timeout_s:.0f} s: {self.last_line()}"
                )
            time.sleep(POLL_S)

    def last_line(self) -> str:
        """The last line that the program wrote."""
        lines = self.log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "it wrote nothing"

    def ask_to_stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, as a host that fails would: nothing is said to anybody."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """SIGTERM, wait, and SIGKILL only if that was not enough. The exit code."""
        self.ask_to_stop()
        try:
            return self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


@contextlib.contextmanager
def running() -> Iterator[list[Program]]:
    """A list of programs; whatever is in it at the end is stopped, the last started first."""
    programs: list[Program] = []
    try:
        yield programs
    finally:
        for program in programs:
            program.ask_to_stop()
        for program in reversed(programs):
            program.stop()
