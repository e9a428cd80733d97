"""A steady HTTP load from threads, each with its own keep-alive connection, that counts what failed."""

from __future__ import annotations

import http.client
import threading
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType

from lab import tcp_line


class Load:
    """`with Load(port) as load: ...`; afterwards `load.good` and `load.failures` (reason -> count).

    `pause_s` bounds the rate: threads / pause requests a second at most. `answers` counts good bodies by
    their `key`.
    """

    def __init__(
        self,
        port: int,
        *,
        host: str = "127.0.0.1",
        path: str = "/",
        threads: int = 4,
        pause_s: float = 0.005,
        key: Callable[[bytes], str] = lambda body: body.decode(errors="replace")[:40],
    ) -> None:
        self._key = key
        self.failures: Counter[str] = Counter()
        self.answers: Counter[str] = Counter()
        self._host, self._port, self._path, self._pause_s = host, port, path, pause_s
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def good(self) -> int:
        return self.answers.total()

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, more: int, timeout_s: float = 60.0) -> None:
        """Until that many further requests were answered well; fails after the time limit."""
        goal, deadline = self.good + more, time.monotonic() + timeout_s
        while self.good < goal:
            assert time.monotonic() < deadline, f"the load stands still: {self.failures}"
            self._stop.wait(0.01)

    def _run(self) -> None:
        connection = http.client.HTTPConnection(self._host, self._port, timeout=20)
        while not self._stop.wait(self._pause_s):
            try:
                connection.request("GET", self._path)
                answer = connection.getresponse()
                body = answer.read()
            except (OSError, http.client.HTTPException) as error:
                connection.close()
                self._count(self.failures, f"{type(error).__name__}: {error}")
                continue
            if answer.status == 200:
                self._count(self.answers, self._key(body))
            else:
                self._count(self.failures, f"{answer.status} {body[:120]!r}")
        connection.close()

    def _count(self, counter: Counter[str], key: str) -> None:
        with self._lock:
            counter[key] += 1


class LineLoad(Load):
    """Of TCP: a connection for every line, which comes back."""

    def _run(self) -> None:
        while not self._stop.wait(self._pause_s):
            answer = tcp_line(self._port, b"hello\n")
            self._count(self.answers if answer else self.failures, self._key(answer))
