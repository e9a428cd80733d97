"""Envoy as a child process: never outlives the agent, never sees its secrets."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from kumadp.parent_process import ending_with_parent
from kumamesh.os_process import raise_file_limit


class EnvoyProcess:
    """A running Envoy. Start it from the main thread: the kernel's death signal follows the thread."""

    def __init__(self, argv: Sequence[str], environ: Mapping[str, str]) -> None:
        raise_file_limit()  # Envoy inherits it, and needs two files for every connection that it passes on
        # A group of its own keeps the terminal's Ctrl-C away: the agent drains first.
        self._process = subprocess.Popen(
            [*ending_with_parent(signal.SIGKILL), *argv],
            stdin=subprocess.DEVNULL,
            env=dict(environ),
            process_group=0,
        )
        self.started = time.monotonic()
        self._pidfd = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        return self._process.pid

    def on_exit(self, notify: Callable[[int], None]) -> None:
        """Call `notify` once with the exit code (negative: the signal), in the running loop."""
        loop = asyncio.get_running_loop()

        def ended() -> None:
            loop.remove_reader(self._pidfd)
            notify(self._process.wait())

        loop.add_reader(self._pidfd, ended)

    def send(self, number: int) -> None:
        """Send a signal; nothing happens when Envoy is gone."""
        self._process.send_signal(number)

    def close(self) -> None:
        """Whatever happened: no process and no descriptor stays."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self.started = time.monotonic()
        self._pidfd = -1


def reap_orphans(ours: Callable[[], Collection[int | None]]) -> None:
    """What the first process of a container owes its orphans. The children `ours` keep their exit codes for
    the one who waits for them."""
    import psutil  # takes 7 ms, which only a container's first process needs to spend

    spared = ours()
    for child in psutil.Process().children():
        if child.pid not in spared:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)
