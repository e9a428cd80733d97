"""The relay's Unix socket: any stream of ADS or HDS that Envoy opens is passed on to the control plane."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc
import grpc.aio

from kumadp.relay.ending import Ending, Holds, LineLimit
from kumadp.relay.memory_process import MemoryTrimmer
from kumadp.relay.stream_relay import StreamRelay
from kumadp.relay.upstream_client import MESSAGE_LIMITS, Connections, target_of
from kumadp.relay.watch_relay import HDS, NamesListener, Watch
from kumadp.work_dir_disk import remove_stale_socket
from kumadp_bootstrap.rewrite import Upstream
from kumamesh.errors import UserError

log = logging.getLogger(__name__)

_ADS = "/envoy.service.discovery.v3.AggregatedDiscoveryService/"
_OPTIONS = (
    *MESSAGE_LIMITS,
    ("grpc.so_reuseport", 0),
    # With the defaults, many streams at once leave some hanging for ever.
    ("grpc.server.max_pending_requests", 1_000_000),
    ("grpc.server.max_pending_requests_hard_limit", 1_000_000),
    # Envoy's keep-alive pings are welcome however often they come.
    ("grpc.http2.max_ping_strikes", 0),
)


class RelayListener(Protocol):
    """Told by the relay; called in the loop, must not block."""

    def configured(self) -> None:
        """Envoy accepted its first clusters and its first listeners."""

    def refused(self, reason: str) -> bool:
        """The control plane does not let this proxy in. True: the agent ends, and says why itself."""


class Relay(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpc has no types
    """Takes connections from `bind` on and serves them from `start` until `stop`; any number of streams."""

    def __init__(
        self,
        upstream: Upstream,
        token: Callable[[], str],
        *,
        system_ca_path: str = "",
    ) -> None:
        self.upstream = upstream
        self._connections = Connections(system_ca_path)
        self._token = token
        self._leaving = asyncio.Event()
        self._streams: set[StreamRelay] = set()
        self._lost: set[str] = set()
        self._holds: dict[str, Holds] = {}
        self._lines = LineLimit()
        self._trimmer = MemoryTrimmer()
        self.reached = False
        """Whether Envoy has opened a stream yet."""
        self._listener: RelayListener
        self._watch: Watch
        # grpc keeps no reference to its server: a dropped one stops serving.
        self._server: Any = None

    def bind(self, path: Path) -> None:
        """From here on Envoy can connect, so that it may be started while the rest is still being made."""
        self._server = grpc.aio.server(options=_OPTIONS)
        self._server.add_generic_rpc_handlers((self,))
        remove_stale_socket(path)
        mask = os.umask(0o177)
        try:
            self._server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise UserError(f"the socket {path} cannot be made: {error}") from None
        finally:
            os.umask(mask)

    async def start(self, listener: RelayListener, names: NamesListener | None = None) -> None:
        """Serve the connections made since `bind`, and those to come."""
        self._listener = listener
        self._watch = Watch(listener.configured, names)
        await self._server.start()

    async def leave(self) -> None:
        """Let the control plane see a clean end of every stream. Envoy keeps its streams and what it has."""
        self._leaving.set()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(stream.leave())

    async def stop(self) -> None:
        """End all streams and remove the socket."""
        self._trimmer.close()
        await self._server.stop(None)

    def service(self, handler_call_details: Any) -> Any:
        """grpc asks here for the handler of a method; None means UNIMPLEMENTED."""
        method = handler_call_details.method
        if not method.startswith((_ADS, HDS)):
            return None

        async def handle(_: Any, context: Any) -> None:
            await self._handle(method, context)

        return grpc.stream_stream_rpc_method_handler(handle)

    async def _handle(self, method: str, context: Any) -> None:
        self.reached = True
        if self._leaving.is_set():
            while await context.read() is not grpc.aio.EOF:
                pass
            return
        ending = await self._relay(method, context)
        self._report(method, ending)
        with contextlib.suppress(TimeoutError):
            hold = self._held(method).after(ending, random.random())  # noqa: S311
            await asyncio.wait_for(self._leaving.wait(), hold)
        if not ending.clean:
            await context.abort(getattr(grpc.StatusCode, ending.code), ending.details)

    async def _relay(self, method: str, context: Any) -> Ending:
        tap = self._watch.tap(method)
        try:
            upstream = self._connections.open(self.upstream, method, self._token())
        except OSError as error:
            return Ending("UNAVAILABLE", f"the CA file cannot be read: {error}")
        stream = StreamRelay(
            context,
            upstream,
            on_request=tap.request,
            on_response=self._measured(method, tap.response),
            farewell=tap.farewell,
        )
        self._streams.add(stream)
        try:
            return await stream.run()
        finally:
            self._streams.discard(stream)

    def _held(self, method: str) -> Holds:
        return self._holds.setdefault(method, Holds(also_in_outages=method.startswith(HDS)))

    def _measured(self, method: str, on_response: Callable[[bytes], None]) -> Callable[[bytes], None]:
        def see(raw: bytes) -> None:
            if method in self._lost:
                self._lost.remove(method)
                log.info("%s is answered again", self._called(method))
            self._held(method).answered()
            self._trimmer.note(len(raw))
            on_response(raw)

        return see

    def _called(self, method: str) -> str:
        return f"{method.rpartition('/')[2]} to {target_of(self.upstream)}"

    def _report(self, method: str, ending: Ending) -> None:
        if ending.by_upstream and not ending.clean:
            self._lost.add(method)
        what = self._called(method)
        if ending.refused:
            # Without health discovery a proxy can serve.
            if not (method.startswith(_ADS) and self._listener.refused(ending.reason())):
                line = self._lines.admit(ending.reason(), time.monotonic())
                if line:
                    log.error("%s", line)
        elif ending.clean:
            log.info("%s ended", what)
        elif ending.by_upstream or ending.code == "RESOURCE_EXHAUSTED":
            line = self._lines.admit(f"{what} ended: {ending.reason()}", time.monotonic())
            if line:
                log.warning("%s", line)
        else:
            log.debug("%s ended: %s", what, ending.reason())
