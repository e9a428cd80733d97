"""Wakes the streams of proxies whose configuration is different, egresses and sidecars in the right order.

A sidecar that is sent through an egress which does not know of that way finds its connections closed, and
even retries may come too early. So while egresses open ways the sidecars wait for them, but not long, and not
for an egress that let them wait in vain before; and egresses close ways when the sidecars have gone others.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from kumacp.dpserver.stream_driver import ProxyStream
from kumacp.xds.hub import EGRESS
from kumacp.xds.proxy import Touched
from kumamesh.names import node_id
from kumamesh.resource import ResourceKey
from kumamesh.xds import ENDPOINT, LISTENER

log = logging.getLogger(__name__)

_PATIENCE_S = 1.0
_REST_S = 0.02
"""Envoy asks for the certificates of a listener after it has accepted it, and its workers need a moment."""

_Types = Mapping[str, frozenset[str]]
_Held = dict[ResourceKey, dict[str, frozenset[str]]]


class Delivery:
    """`streams`, by proxy, are live. `take_opened` says whether egresses lead somewhere where they did not
    before."""

    def __init__(
        self,
        streams: Mapping[ResourceKey, ProxyStream],
        take_opened: Callable[[], bool],
        *,
        patience_s: float = _PATIENCE_S,
    ) -> None:
        self._streams = streams
        self._take_opened = take_opened
        self._patience_s = patience_s
        self._ahead: set[ResourceKey] = set()
        self._silent: set[ResourceKey] = set()
        self._slow: set[ResourceKey] = set()
        self._behind: _Held = {}
        self._closing: _Held = {}
        self._look: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None

    def deliver(self, touched: Touched) -> None:
        opened = self._take_opened()
        for proxy, types in touched.items():
            if proxy.type != EGRESS:
                continue
            if LISTENER not in types:
                self._touch(proxy, types)
            elif opened:
                self._open(proxy, types)
            else:
                self._close_later(proxy, types)
        if self._ahead and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(self._patience_s, self._lose_patience)
        for proxy, types in touched.items():
            if proxy.type == EGRESS:
                continue
            if self._ahead:
                _hold(self._behind, proxy, types)
            else:
                self._touch(proxy, types)

    def heard(self, proxy: ResourceKey) -> None:
        """The proxy has accepted something, or refused it."""
        self._silent.discard(proxy)
        if proxy in self._ahead:
            self._look_soon()
        elif proxy in self._slow and self._is_through(proxy):
            self._slow.remove(proxy)

    def forget(self, proxy: ResourceKey) -> None:
        """Its stream is closed."""
        self._silent.discard(proxy)
        self._slow.discard(proxy)
        if proxy in self._ahead:
            self._look_soon()

    def _open(self, egress: ResourceKey, types: _Types) -> None:
        self._touch(egress, self._closing.pop(egress, {}))
        self._touch(egress, types)
        if egress not in self._ahead | self._slow and not self._is_through(egress):
            self._ahead.add(egress)
            self._silent.add(egress)

    def _close_later(self, egress: ResourceKey, types: _Types) -> None:
        """Endpoints are those of other ways, and cannot wait."""
        self._touch(egress, {ENDPOINT: types.get(ENDPOINT, frozenset())})
        if not self._closing:
            asyncio.get_running_loop().call_later(self._patience_s, self._close_now)
        _hold(self._closing, egress, types)

    def _close_now(self) -> None:
        closing, self._closing = self._closing, {}
        for egress, types in closing.items():
            self._touch(egress, types)

    def _touch(self, proxy: ResourceKey, types: _Types) -> None:
        stream = self._streams.get(proxy)
        if stream is not None and types:
            stream.touch(types)

    def _look_soon(self) -> None:
        if self._look is None:
            self._look = asyncio.get_running_loop().call_later(_REST_S, self._look_now)

    def _look_now(self) -> None:
        self._look = None
        self._ahead = {proxy for proxy in self._ahead if not self._is_through(proxy)}
        if not self._ahead:
            self._release()

    def _is_through(self, egress: ResourceKey) -> bool:
        """Whether it has taken over all that it was told."""
        stream = self._streams.get(egress)
        return stream is None or stream.session is None or stream.session.satisfied

    def _lose_patience(self) -> None:
        """Only one that says nothing at all is slow: others have ever more to take over."""
        for proxy in self._silent:
            log.warning(
                "an egress has said nothing to its configuration for %.0f s: nobody waits for it any more",
                self._patience_s,
                extra={"proxy": node_id("", proxy.name)},
            )
        self._slow |= self._silent
        self._silent.clear()
        self._ahead.clear()
        self._release()

    def _release(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        behind, self._behind = self._behind, {}
        for proxy, types in behind.items():
            self._touch(proxy, types)


def _hold(held: _Held, proxy: ResourceKey, types: _Types) -> None:
    waiting = held.setdefault(proxy, {})
    for type_url, names in types.items():
        waiting[type_url] = waiting.get(type_url, frozenset()) | names
