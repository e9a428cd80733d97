"""Resolves the names that proxies have for addresses, and again every few seconds while they are in use."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from kumacp.dpserver.addresses import names_in, resolved
from kumacp.store.api import Change, Operation
from kumamesh.names import node_id
from kumamesh.resource import Resource, ResourceKey

log = logging.getLogger(__name__)

REFRESH_S = 10.0
"""Kuma's lifetime of a resolved name (kuma-cp 1.8, `general.dnsCacheTTL`)."""
LOOKUP_TIMEOUT_S = 5.0

_KINDS = {"Dataplane": "data plane", "ZoneIngress": "zone ingress", "ZoneEgress": "zone egress"}


class ResolverDriver:
    """Stands between the store's changes and those of `zone` who need IPs. `on_change` gets what a new answer
    changes; a name that can no longer be resolved keeps its last address."""

    def __init__(self, on_change: Callable[[Sequence[Change]], None], zone: str = "") -> None:
        self._on_change = on_change
        self._zone = zone
        self._table: dict[str, str] = {}
        self._named: dict[ResourceKey, Resource] = {}
        self._unknown: set[str] = set()
        self._asked = asyncio.Event()

    def place(self, change: Change) -> Change:
        """The change with IPs; a proxy whose name is not known yet is not there for now."""
        names = names_in(change.new, self._zone)
        if not names:
            self._named.pop(change.key, None)
            return change
        assert change.new is not None
        self._named[change.key] = change.new
        if names - self._table.keys():
            self._asked.set()
        return _placed(change, resolved(change.new, self._table, self._zone))

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
        named = {
            name: resource for resource in self._named.values() for name in names_in(resource, self._zone)
        }
        names = named.keys()
        self._table = {name: address for name, address in self._table.items() if name in names}
        async with asyncio.TaskGroup() as group:
            lookups = {name: group.create_task(_lookup(name)) for name in sorted(names)}
        found = {name: task.result() for name, task in lookups.items()}
        self._report({name: named[name] for name, address in found.items() if address is None})
        different = {name for name, address in found.items() if address and self._table.get(name) != address}
        self._table |= {name: address for name, address in found.items() if address}
        changes = [
            _placed(
                Change(Operation.UPDATE, key, None, resource), resolved(resource, self._table, self._zone)
            )
            for key, resource in self._named.items()
            if names_in(resource, self._zone) & different
        ]
        if changes:
            self._on_change(changes)

    def _report(self, unknown: Mapping[str, Resource]) -> None:
        """Each name once, with one of the proxies that have it."""
        for name in sorted(unknown.keys() - self._unknown):
            proxy = unknown[name]
            log.warning(
                "the address %s of a %s cannot be resolved; it gets no traffic until it can",
                name,
                _KINDS[proxy.type],
                extra={"proxy": node_id(proxy.mesh, proxy.name), **_zone_of(proxy)},
            )
        self._unknown = set(unknown)


def _zone_of(proxy: Resource) -> dict[str, str]:
    """Of an ingress: that of another zone is known here by a name that does not tell."""
    return {"zone": proxy.spec.zone} if proxy.type == "ZoneIngress" else {}


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
