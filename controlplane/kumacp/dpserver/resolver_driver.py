"""Resolves the names that proxies have for addresses, and again every few seconds while they are in use."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from dataclasses import replace

from kumacp.dpserver.addresses import names_in, resolved
from kumacp.store.api import Change, Operation
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

REFRESH_S = 10.0
"""Kuma's lifetime of a resolved name (kuma-cp 1.8, `general.dnsCacheTTL`)."""
LOOKUP_TIMEOUT_S = 5.0


class ResolverDriver:
    """Stands between the store's changes and those who need IPs. `on_change` gets what a new answer changes;
    a name that can no longer be resolved keeps its last address."""

    def __init__(self, on_change: Callable[[Sequence[Change]], None]) -> None:
        self._on_change = on_change
        self._table: dict[str, str] = {}
        self._named: dict[ResourceKey, Resource] = {}
        self._unknown: set[str] = set()
        self._asked = asyncio.Event()

    def place(self, change: Change) -> Change:
        """The change with IPs; a proxy whose name is not known yet is not there for now."""
        if not names_in(change.new):
            self._named.pop(change.key, None)
            return change
        assert change.new is not None
        self._named[change.key] = change.new
        if names_in(change.new) - self._table.keys():
            self._asked.set()
        return _placed(change, resolved(change.new, self._table))

    async def run(self) -> None:
        """Until cancelled; sleeps while no proxy has a name for an address."""
        while True:
            if not self._named:
                await self._asked.wait()
            self._asked.clear()
            await self._refresh()
            try:
                await asyncio.wait_for(self._asked.wait(), REFRESH_S)
            except TimeoutError:
                continue

    async def _refresh(self) -> None:
        names = {name for resource in self._named.values() for name in names_in(resource)}
        self._table = {name: address for name, address in self._table.items() if name in names}
        async with asyncio.TaskGroup() as group:
            lookups = {name: group.create_task(_lookup(name)) for name in sorted(names)}
        found = {name: task.result() for name, task in lookups.items()}
        self._report({name for name, address in found.items() if address is None})
        different = {name for name, address in found.items() if address and self._table.get(name) != address}
        self._table |= {name: address for name, address in found.items() if address}
        changes = [
            _placed(Change(Operation.UPDATE, key, None, resource), resolved(resource, self._table))
            for key, resource in self._named.items()
            if names_in(resource) & different
        ]
        if changes:
            self._on_change(changes)

    def _report(self, unknown: set[str]) -> None:
        for name in sorted(unknown - self._unknown):
            log.warning(
                "the address %s of a data plane cannot be resolved; it gets no traffic until it can", name
            )
        self._unknown = unknown


def _placed(change: Change, resource: Resource | None) -> Change:
    if resource is None:
        return Change(Operation.DELETE, change.key, change.old, None)
    return replace(change, new=resource)


async def _lookup(name: str) -> str | None:
    """The first address; None when there is none, or no answer in time."""
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(LOOKUP_TIMEOUT_S):
            answers = await loop.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, TimeoutError, UnicodeError):
        return None
    # The same answers come in another order each time: the smallest one, so that nothing flaps.
    return min((str(answer[4][0]) for answer in answers), key=lambda ip: (":" in ip, ip), default=None)
