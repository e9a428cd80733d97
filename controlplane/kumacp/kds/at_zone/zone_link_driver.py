"""Keeps the streams of one connection to the global control plane open, each for itself."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from kumacp.kds.at_zone.reconnecting import Pauses
from kumacp.kds.at_zone.trouble import Dialled, Trouble, trouble_of
from kumacp.kds.at_zone.zone_client import ClientWire, GlobalClient, StreamEnded
from kumacp.store.api import Conflict, NotFound, StoreUnavailable
from kumamesh.line_budget import LineBudget

log = logging.getLogger(__name__)

Serve = Callable[[ClientWire], Awaitable[None]]
"""Works with one stream until the other side ends it."""

_PING_S, _PING_TIMEOUT_S = 300.0, 10.0
_LOSS_SHOWS_S = 0.2
"""When a connection breaks its streams say why, a little earlier or later."""


@dataclass(slots=True)
class LinkFigures:
    """What the exporter reads. `streams`: open ones by name; `ends`: streams that ended, by gRPC's code."""

    connected: int = 0
    connections: int = 0
    failures: int = 0
    streams: dict[str, float] = field(default_factory=dict)
    ends: dict[str, float] = field(default_factory=dict)


class ZoneLink:
    """`run` until the connection is lost; `serves` by method of the stream."""

    def __init__(
        self,
        client: GlobalClient,
        dialled: Dialled,
        serves: Mapping[str, Serve],
        figures: LinkFigures,
    ) -> None:
        self.reason = "the connection was closed"
        self._client = client
        self._dialled = dialled
        self._serves = serves
        self._figures = figures
        self._lines = LineBudget(lines=1, interval=300.0)
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._keep(method, serve)) for method, serve in self._serves.items()]
            tasks.append(group.create_task(self._report_health()))
            await self._client.lost()
            await asyncio.sleep(_LOSS_SHOWS_S / 2)
            for task in tasks:
                task.cancel()

    async def _keep(self, method: str, serve: Serve) -> None:
        """Open the stream again whenever it ends; the others do not notice."""
        pauses, name = Pauses(), method.rpartition("/")[2]
        while True:
            opened_at = time.monotonic()
            trouble = await self._serve(name, method, serve)
            if trouble is None:
                return
            # Cancelled meanwhile if it is the connection that broke.
            await asyncio.sleep(_LOSS_SHOWS_S)
            lived_s = time.monotonic() - opened_at
            # What ends one stream mostly ends the others, too.
            level = logging.DEBUG if trouble.line in self._told.values() else logging.WARNING
            log.log(level, "a stream ended and is opened again: %s", trouble.line, extra={"stream": name})
            self._told[name] = trouble.line
            await asyncio.sleep(
                pauses.next(lived_s=lived_s, refused=trouble.refused, chance=random.random())  # noqa: S311
            )

    async def _serve(self, name: str, method: str, serve: Serve) -> Trouble | None:
        """Until the stream ends; why, or None when it is of no use to open it again."""
        wire, open_now = self._client.open(method), self._figures.streams
        open_now[name] = open_now.get(name, 0) + 1
        code = "CANCELLED"
        try:
            await serve(wire)
            code = "OK"
        except StreamEnded as ended:
            code = ended.code
            if code == "UNAVAILABLE":
                self.reason = ended.details or self.reason
            if code == "UNIMPLEMENTED" and not _is_sync(method):
                log.debug("global does not offer the stream %s", name)
                return None
            return trouble_of(self._dialled, code, ended.details)
        except (ValueError, StoreUnavailable, Conflict, NotFound) as error:
            code = type(error).__name__
            return Trouble(str(error))
        except Exception as error:
            code = type(error).__name__
            if line := self._lines.admit(name, "a fault ended a stream", time.monotonic()):
                log.exception("%s", line, extra={"stream": name})
            return Trouble("a fault of this control plane")
        finally:
            wire.close()
            open_now[name] -= 1
            self._figures.ends[code] = self._figures.ends.get(code, 0) + 1
        return Trouble("global ended it")

    async def _report_health(self) -> None:
        """Global may ask for another interval with each answer."""
        interval_s = _PING_S
        while True:
            try:
                wanted_s = await self._client.ping(_PING_TIMEOUT_S)
            except StreamEnded as ended:
                log.debug("a health report was not taken: %s", ended)
            else:
                if wanted_s is None:
                    return
                interval_s = wanted_s or interval_s
            await asyncio.sleep(interval_s)


def _is_sync(method: str) -> bool:
    return "KDSSyncService" in method
