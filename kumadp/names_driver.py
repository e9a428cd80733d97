"""Takes the name tables that Envoy has to the name server, and says when names are answered."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kumadp.bound_names import remedy, without_closed
from kumadp.envoy.admin import AdminError
from kumadp.name_metrics import FirstTable, page
from kumadp.page_server import Page
from kumadp.relay.ending import LineLimit
from kumadp.thread_worker import in_thread
from kumadp_dns.answers.document import Document, parse
from kumamesh.errors import UserError, one_line
from kumamesh.exposition import CONTENT_TYPE

if TYPE_CHECKING:
    from kumadp_dns.name_server_process import Applied, NameServer

log = logging.getLogger(__name__)

_SHOWN = 3
_SHOWN_CHARS = 200
_AGAIN_S = 1.0
_ANSWERED = "%d names of the mesh are answered"


@dataclass(frozen=True, slots=True)
class _Read:
    """A document, and what tells it from others."""

    digest: bytes
    document: Document


class Names:
    """Of one run. The latest table wins: what comes while one is taken over waits, and only the last of it
    counts. `on_first` is called once; `listening`, where Envoy listens on the addresses of names itself, asks
    it on which."""

    def __init__(
        self,
        server: NameServer,
        started: float,
        on_first: Callable[[], None],
        listening: Callable[[], Awaitable[frozenset[str]]] | None = None,
    ) -> None:
        self._server = server
        self._started = started
        self._on_first = on_first
        self._listening = listening
        self._listener: bytes | None = None
        self._gaps = False
        """Envoy has refused listeners; from then on it is asked which it has."""
        self._digest = b""
        self._wake = asyncio.Event()
        self._lines = LineLimit()
        self.first = FirstTable()

    def offer(self, listener: bytes) -> None:
        """The dynconf listener that Envoy has now, b"" for none; takes no time."""
        self._listener = listener
        self._wake.set()

    def answered(self, *, whole: bool) -> None:
        """Envoy has answered a push of listeners; `whole`: it took all of them."""
        if self._listening and (self._gaps or not whole):
            self._gaps = True
            self._wake.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            listener = self._listener
            if listener is None:
                continue
            if not self._listening:
                self._listener = None  # it may be large, and is not looked at again
            try:
                await self._take(listener)
            except (AdminError, OSError, MemoryError, RuntimeError) as error:
                # Envoy does not answer, or the host is short of something.
                self._warn(f"the names cannot be taken over, those before stay until they can: {error}")
                self._listener = listener if self._listener is None else self._listener
                asyncio.get_running_loop().call_later(_AGAIN_S, self._wake.set)
            del listener

    def metrics(self) -> Page:
        text = page(self._server.figures(), self.first, time.monotonic())
        return Page(text, content_type=CONTENT_TYPE)

    async def _take(self, listener: bytes) -> None:
        try:
            read = await in_thread(functools.partial(_read, listener))
        except ValueError as error:
            self._warn(f"the new name table cannot be used, the one before stays: {error}")
            return
        read = await self._callable(read) if self._gaps else read
        if read.digest != self._digest and not await self._apply(read):
            return
        if self.first.waited is None:
            self.first.waited = time.monotonic() - self._started
            self._on_first()

    async def _callable(self, read: _Read) -> _Read:
        """Without the addresses that others have."""
        assert self._listening
        listening = await self._listening()
        document, closed = await in_thread(functools.partial(without_closed, read.document, listening))
        if not closed:
            return read
        self._warn(
            f"names get no address where Envoy could not listen on it: {_counted(closed)}; {remedy(closed)}"
        )
        return _Read(hashlib.sha256(read.digest + repr(closed).encode()).digest(), document)

    async def _apply(self, read: _Read) -> bool:
        try:
            applied = await self._server.apply(read.document)
        except UserError as error:
            self._warn(str(error))
            return False
        if applied.names or self._digest:
            # One line for a burst; how many there are at any moment is on the page of figures.
            often = not self._lines.admit(_ANSWERED, time.monotonic())
            log.log(logging.DEBUG if often else logging.INFO, _ANSWERED, applied.names)
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
    refused = [f"{one.name} {one.what}: {one.reason}" for one in applied.refused]
    return f"entries of the name table that are not used: {_counted(refused, applied.refusals)}"


def _counted(entries: Sequence[str], total: int | None = None) -> str:
    """How many, and the first of them."""
    total = total or len(entries)
    shown = one_line("; ".join(entries[:_SHOWN]))[:_SHOWN_CHARS]
    more = total - len(entries[:_SHOWN])
    return f"{total} ({shown}{f'; and {more} more' if more else ''})"
