"""GET /ready for probes and for Envoy's readiness cluster (contract 2.5)."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from kumadp.page_server import Page, PageServer
from kumadp.readiness import Readiness
from kumadp.work_dir_disk import remove_stale_socket

_BACKLOG = 128


class ReadinessServer:
    """Answers with `state`, over TCP and, unless told not to, over a Unix socket. `remark` is what a person
    should know of it."""

    def __init__(self) -> None:
        self.state = Readiness.NOT_READY
        self.remark = ""
        self._server = PageServer("/ready", self._page)

    @contextlib.asynccontextmanager
    async def serving(self, listener: socket.socket, unix_path: Path | None) -> AsyncIterator[None]:
        """Serve until the block ends; the listening TCP socket stays the caller's."""
        with contextlib.ExitStack() as held:
            listeners = [listener]
            if unix_path:
                listeners.append(held.enter_context(_unix_listener(unix_path)))
            async with self._server.serving(*listeners):
                yield

    def _page(self) -> Page:
        status, text = self.state.value
        return Page(text, status, remark=self.remark)


@contextlib.contextmanager
def _unix_listener(path: Path) -> Iterator[socket.socket]:
    remove_stale_socket(path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as server:
        mask = os.umask(0o177)
        try:
            server.bind(str(path))
        finally:
            os.umask(mask)
        server.listen(_BACKLOG)
        try:
            yield server
        finally:
            with contextlib.suppress(OSError):
                path.unlink()
