"""What a control plane does for others while it is under pressure, and what that costs it."""

from __future__ import annotations

import threading
import time
from types import TracebackType

import psutil

from lab import ControlPlane, http


class Prober:
    """An honest client that asks again and again; remembers how long it waited and what went wrong."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.waits: list[float] = []
        self.failures: list[str] = []

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"others: {len(self.waits)} requests, the slowest {max(self.waits, default=0.0):.2f} s"

    def _run(self) -> None:
        while not self._stop.is_set():
            begun = time.monotonic()
            status, body = http("GET", self._url)
            self.waits.append(time.monotonic() - begun)
            if status != 200:
                self.failures.append(f"{status} {body[:100]!r}")
            self._stop.wait(0.02)


def processes(plane: ControlPlane) -> list[psutil.Process]:
    """The control plane and its front."""
    main = psutil.Process(plane.program.process.pid)
    return [main, *main.children()]


def memory(plane: ControlPlane) -> str:
    each = (
        f"{process.memory_info().rss / 2**20:.0f} MiB and {process.num_fds()} files"
        for process in processes(plane)
    )
    return ", ".join(each)
