"""Takes the name tables that Envoy has to the name server, and says when names are answered."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kumadp.name_metrics import FirstTable, page
from kumadp.page_server import Page
from kumadp.relay.ending import LineLimit
from kumadp.thread_worker import in_thread
from kumadp_dns.document import Document, parse
from kumamesh.errors import UserError, one_line
from kumamesh.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from kumadp_dns.name_server_process import Applied, NameServer

log = logging.getLogger(__name__)

_SHOWN_REFUSALS = 3
_SHOWN_CHARS = 200


@dataclass(frozen=True, slots=True)
class _Read:
    """A document, and what tells it from others."""

    digest: bytes
    document: Document


class Names:
    """Of one run. The latest table wins: what comes while one is taken over waits, and only the last of it
    counts. `on_first` is called once."""

    def __init__(self, server: NameServer, started: float, on_first: Callable[[], None]) -> None:
        self._server = server
        self._started = started
        self._on_first = on_first
        self._listener: bytes | None = None
        self._digest = b""
        self._wake = asyncio.Event()
        self._lines = LineLimit()
        self.first = FirstTable()

    def offer(self, listener: bytes) -> None:
        """The dynconf listener that Envoy has now, b"" for none; takes no time."""
        self._listener = listener
        self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            listener, self._listener = self._listener, None
            if listener is not None:
                await self._take(listener)

    def metrics(self) -> Page:
        text = page(self._server.figures(), self.first, time.monotonic())
        return Page(text, content_type=CONTENT_TYPE)

    async def _take(self, listener: bytes) -> None:
        try:
            read = await in_thread(functools.partial(_read, listener))
        except ValueError as error:
            self._warn(f"the new name table cannot be used, the one before stays: {error}")
            return
        if read.digest != self._digest and not await self._apply(read):
            return
        if self.first.waited is None:
            self.first.waited = time.monotonic() - self._started
            self._on_first()

    async def _apply(self, read: _Read) -> bool:
        try:
            applied = await self._server.apply(read.document)
        except UserError as error:
            self._warn(str(error))
            return False
        if applied.names or self._digest:
            log.info("%d names of the mesh are answered", applied.names)
        self._digest = read.digest
        if applied.refusals:
            self._warn(_refusals(applied))
        return True

    def _warn(self, line: str) -> None:
        admitted = self._lines.admit(line, time.monotonic())
        if admitted:
            log.warning("%s", admitted)


def _read(listener: bytes) -> _Read:
    """Raises a ValueError that is one line."""
    # The descriptors are read when there is something to decode, and not on the relay's time.
    from kumadp.relay.dynconf import DNS_PATH, body_of

    body = body_of(listener, DNS_PATH)
    if body is None:
        return _Read(b"none", Document())
    return _Read(hashlib.sha256(body).digest(), parse(body))


def _refusals(applied: Applied) -> str:
    first = applied.refused[:_SHOWN_REFUSALS]
    shown = one_line("; ".join(f"{one.name} {one.what}: {one.reason}" for one in first))[:_SHOWN_CHARS]
    more = applied.refusals - len(first)
    rest = f"; and {more} more" if more else ""
    return f"entries of the name table that are not used: {applied.refusals} ({shown}{rest})"
