"""Resources of proxies: written when they connect, removed when they are gone for good (contract 3.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from weakref import WeakValueDictionary

from kumacp.dpserver.auth import Credential, authenticate_override
from kumacp.dpserver.clock import Clock
from kumacp.dpserver.insight import insight_key
from kumacp.dpserver.insight_driver import InsightDriver
from kumacp.dpserver.lifecycle import SECOND_STREAM, Ending, Registrations, Removal
from kumacp.dpserver.node import PROXY_RESOURCE_TYPES, ProxyNode
from kumacp.dpserver.refusal import Refused, Status, invalid_resource
from kumacp.dpserver.stats import DpServerStats
from kumacp.dpserver.timer_driver import Timer
from kumacp.manager.inbound_states import as_restarted, as_returned, as_started
from kumacp.manager.resource_driver import ResourceManager
from kumacp.store.api import Conflict, NotFound, Store, StoreUnavailable
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL, node_id
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.resources.zone import ZoneIngress

log = logging.getLogger(__name__)


def carried_resource(node: ProxyNode) -> Resource | None:
    """What the proxy wants to be registered as; None when it says nothing. Raises Refused."""
    if node.resource is None:
        return None
    identity = {"type": node.key.type, "name": node.key.name}
    if node.key.mesh:
        identity["mesh"] = node.key.mesh
    try:
        resource = from_rest({**identity, **node.resource})
    except InvalidResource as error:
        raise invalid_resource(error) from None
    if resource.key != node.key:
        raise Refused(
            Status.INVALID_ARGUMENT,
            f"proxyId {node.id} does not match proxy resource {resource.mesh}.{resource.name}"
            + ("" if resource.type == node.key.type else f" of type {resource.type}"),
        )
    return resource


class Registrar:
    """Carries out what `Registrations` decides."""

    def __init__(
        self,
        store: Store,
        manager: ResourceManager,
        insights: InsightDriver,
        *,
        zone: str,
        deregistration_delay_s: float,
        clock: Clock,
        stats: DpServerStats,
    ) -> None:
        self._store = store
        self._manager = manager
        self._insights = insights
        self._zone = zone
        self._clock = clock
        self._stats = stats
        self._registrations = Registrations(deregistration_delay_s)
        # The mark may be lost when somebody replaces the resource of a connected proxy.
        self._registered: set[ResourceKey] = set()
        self._locks: WeakValueDictionary[ResourceKey, asyncio.Lock] = WeakValueDictionary()
        self._timer = Timer(self._registrations.next_at, self._remove_due, clock.monotonic)

    async def run(self) -> None:
        await self._timer.run()

    def adopt(self, resources: Iterable[Resource]) -> None:
        """Proxies that an earlier control plane registered, or that it left online, may come back."""
        stored = {resource.key: resource for resource in resources}
        for key, resource in stored.items():
            if key.type not in PROXY_RESOURCE_TYPES:
                continue
            insight = stored.get(insight_key(key))
            if self._is_registered(resource) or (insight and insight.spec.online):
                self._registrations.adopt(key, _last_subscription(insight), self._clock.monotonic())
        self._timer.changed()

    def connect(self, proxy: ResourceKey, subscription_id: str) -> None:
        """Raises Refused when the proxy has a stream already."""
        if not self._registrations.connect(proxy, subscription_id):
            raise Refused(Status.ALREADY_EXISTS, SECOND_STREAM)

    def disconnect(self, proxy: ResourceKey, subscription_id: str, ending: Ending) -> None:
        self._registrations.disconnect(proxy, subscription_id, ending, self._clock.monotonic())
        self._timer.changed()

    async def stored(self, node: ProxyNode) -> Resource:
        """The resource of a proxy that brings none; raises Refused."""
        stored = await self._find(node.key)
        if stored is None:
            raise Refused(
                Status.NOT_FOUND,
                f'resource "{node.id}" not found; create a {node.key.type} in Kuma CP first or pass it as an '
                "argument to kuma-dp",
            )
        return stored

    async def check_override(self, node: ProxyNode, credential: Credential) -> None:
        """Raises Refused when the token does not cover the resource that the proxy would replace."""
        before = await self._find(node.key)
        if before is not None:
            authenticate_override(credential, node.proxy_type, before, zone=self._zone)

    async def register(self, node: ProxyNode, resource: Resource, *, starting: bool) -> Resource:
        """Store what the proxy brought, and return it as stored; raises Refused. `starting`: it has not
        served yet."""
        states = as_started if starting else as_returned
        async with self._lock(node.key):
            before = await self._find(node.key)
            labels = {key: value for key, value in resource.labels.items() if key != MANAGED_BY_LABEL}
            if before is None or self._is_registered(before):
                self._registered.add(node.key)
                labels[MANAGED_BY_LABEL] = MANAGED_BY_CONNECTION
            try:
                result = await self._manager.put(replace(resource, labels=labels, version=0), states=states)
            except InvalidResource as error:
                raise invalid_resource(error) from None
            except (Conflict, NotFound) as error:
                raise Refused(Status.UNAVAILABLE, f"the proxy was not registered: {error}") from None
        self._stats.registrations += 1
        if before is None:
            log.info("registered", extra={"proxy": node.id})
            _report_unreachable(result.resource)
        return result.resource

    async def restart(self, node: ProxyNode) -> None:
        """A proxy has started that brings no resource; raises Refused."""
        try:
            await self._manager.change_dataplane(node.key, as_restarted)
        except Conflict as error:
            raise Refused(Status.UNAVAILABLE, f"the proxy was not registered: {error}") from None

    async def _remove_due(self) -> None:
        async with asyncio.TaskGroup() as group:
            for removal in self._registrations.due(self._clock.monotonic()):
                group.create_task(self._remove(removal))

    async def _remove(self, removal: Removal) -> None:
        try:
            async with self._lock(removal.proxy):
                if not self._registrations.connected(removal.proxy):
                    await self._deregister(removal)
        except (Conflict, StoreUnavailable) as error:
            log.error("%s was not removed, trying again: %s", removal.proxy.name, error)
            self._registrations.retry(removal, self._clock.monotonic())

    async def _deregister(self, removal: Removal) -> None:
        insight = await self._find(insight_key(removal.proxy))
        if insight and insight.spec.online and _last_subscription(insight) != removal.subscription_id:
            return  # it is connected to another control plane
        stored = await self._find(removal.proxy)
        if stored is not None and self._is_registered(stored):
            with suppress(NotFound):
                await self._manager.delete(removal.proxy)
            self._stats.deregistrations += 1
            log.info("deregistered", extra={"proxy": f"{removal.proxy.mesh}.{removal.proxy.name}"})
        else:
            await self._insights.finish(removal.proxy)
        self._registered.discard(removal.proxy)

    def _is_registered(self, resource: Resource) -> bool:
        """By a connection, to this control plane or to an earlier one."""
        marked = resource.labels.get(MANAGED_BY_LABEL) == MANAGED_BY_CONNECTION
        return marked or resource.key in self._registered

    def _lock(self, proxy: ResourceKey) -> asyncio.Lock:
        return self._locks.setdefault(proxy, asyncio.Lock())

    async def _find(self, key: ResourceKey) -> Resource | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None


def _report_unreachable(resource: Resource) -> None:
    if isinstance(resource.spec, ZoneIngress) and not resource.spec.has_public_address:
        log.warning(
            "no other zone can use this ingress: set networking.advertisedAddress and "
            "networking.advertisedPort, where others reach it, in its ZoneIngress",
            extra={"proxy": node_id("", resource.name)},
        )


def _last_subscription(insight: Resource | None) -> str:
    last = insight.spec.last_subscription if insight else None
    return last.id if last else ""
