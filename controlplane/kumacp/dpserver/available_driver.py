"""Keeps in the zone's ingresses what services there are here, so that other zones are told (contract 5.7)."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace

from kumacp.store.api import Conflict, NotFound, Store, StoreUnavailable
from kumacp.xds.hub import Hub
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.zone import AvailableService

log = logging.getLogger(__name__)

_REST_S = 0.05
"""Between two writes. What changes meanwhile is written once, as it is then."""
_REST_FACTOR = 5.0
_RETRY_S, _MAX_RETRY_S = 0.5, 30.0


class AvailableDriver:
    """Writes when something changed, and what is not stored already. `longest_rest_s` bounds the time between
    two writes of long lists while instances keep coming and going."""

    def __init__(self, store: Store, hub: Hub, *, longest_rest_s: float) -> None:
        self._store = store
        self._hub = hub
        self._longest_rest_s = max(longest_rest_s, _REST_S)
        self._wake = asyncio.Event()
        hub.available.on_change = self._wake.set

    async def run(self) -> None:
        """Until cancelled. First of all puts right what an earlier control plane left."""
        failures = 0
        while True:
            self._wake.clear()
            started = time.monotonic()
            try:
                for ingress in tuple(self._hub.ingresses.values()):
                    await self._settle(ingress)
            except StoreUnavailable as error:
                rest = min(_RETRY_S * 2.0**failures, _MAX_RETRY_S)
                failures += 1
                self._wake.set()
                log.error("the services of this zone were not written, trying again: %s", error)
            else:
                failures = 0
                took = time.monotonic() - started
                rest = min(max(took * _REST_FACTOR, _REST_S), self._longest_rest_s)
            await asyncio.sleep(rest)
            await self._wake.wait()

    async def _settle(self, ingress: Resource) -> None:
        """What changes again while it is being written, by whomever, is told by the store anew."""
        services = self._hub.available.services
        if ingress.spec.available_services == services:
            return
        try:
            stored = await self._store.get(ResourceKey(ingress.type, "", ingress.name))
            if stored.spec.available_services != services:
                await self._store.update(with_services(stored, services))
        except NotFound:
            return
        except Conflict:
            self._wake.set()


def with_services(ingress: Resource, services: tuple[AvailableService, ...]) -> Resource:
    return replace(ingress, spec=ingress.spec.model_copy(update={"available_services": services}))
