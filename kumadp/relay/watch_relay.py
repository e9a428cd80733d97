"""Logs what the observers of all streams see and says when Envoy has its first configuration."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from kumadp.relay.ending import LineLimit
from kumamesh.xds import LISTENER

HDS = "/envoy.service.health.v3.HealthDiscoveryService/"

if TYPE_CHECKING:
    from kumadp.relay.name_table import NameTable
    from kumadp.relay.observe import Observer, Progress

log = logging.getLogger(__name__)


class NamesListener(Protocol):
    """Told of name tables, where names are answered; called in the loop, must not block."""

    def offer(self, listener: bytes) -> None:
        """Envoy has another dynconf listener, b"" for none."""

    def answered(self, *, whole: bool) -> None:
        """Envoy has answered a push of listeners; `whole`: it took all of them."""


class Tap:
    """One stream's messages, in passing. `request` says whether it is to be passed on, `farewell` what is to
    be said before the stream is left, b"" for nothing."""

    def __init__(self, watch: Watch, observer: Observer | None) -> None:
        self._watch = watch
        self._observer = observer

    def request(self, raw: bytes) -> bool:
        if self._observer:
            self._watch.saw(self._observer, raw)
        return True

    def response(self, raw: bytes) -> None:
        if self._observer:
            self._observer.response(raw)

    def farewell(self) -> bytes:
        return b""


class HealthTap(Tap):
    """Of a stream of health discovery."""

    def __init__(self, watch: Watch) -> None:
        from kumadp.relay.health import Repeats, farewell

        super().__init__(watch, None)
        self._specifier = b""
        self._repeats = Repeats()
        self._make_farewell = farewell

    def request(self, raw: bytes) -> bool:
        return self._repeats.passes(raw)

    def response(self, raw: bytes) -> None:
        self._specifier = raw
        self._repeats.asked()

    def farewell(self) -> bytes:
        return self._make_farewell(self._specifier)


class Watch:
    """`on_configured` is called once."""

    def __init__(self, on_configured: Callable[[], None], names: NamesListener | None) -> None:
        self._on_configured = on_configured
        self._names_listener = names
        self._progress: Progress | None = None
        self._names: NameTable | None = None
        self._lines = LineLimit()

    def tap(self, method: str) -> Tap:
        # Imported when Envoy is up already: the descriptors take 30 ms that its start need not wait for.
        from kumadp.relay.name_table import NameTable
        from kumadp.relay.observe import Progress, observer_for

        self._progress = self._progress or Progress()
        if self._names_listener:
            self._names = self._names or NameTable()
        if method.startswith(HDS):
            return HealthTap(self)
        return Tap(self, observer_for(method, self._names))

    def saw(self, observer: Observer, raw: bytes) -> None:
        from kumadp.relay.observe import Accepted, Rejected, short_type

        seen = observer.request(raw)
        self._tell_names()
        if seen and seen.type_url == LISTENER and self._names_listener:
            self._names_listener.answered(whole=isinstance(seen, Accepted))
        if isinstance(seen, Rejected):
            counts = observer.types[seen.type_url]
            text = " ".join(seen.text.split())
            line = f"Envoy refuses {short_type(seen.type_url)} resources: {text}"
            admitted = self._lines.admit(line, time.monotonic())
            if admitted:
                log.error("%s (refusal %d on this stream)", admitted, counts.nacks)
        elif isinstance(seen, Accepted) and self._progress and self._progress.note(seen.type_url):
            self._on_configured()

    def _tell_names(self) -> None:
        change = self._names.take() if self._names else None
        if change and self._names_listener:
            self._names_listener.offer(change.listener or b"")
