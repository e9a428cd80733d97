"""Follows the store: hands changes to the hub, keeps secrets and the key ring, tells who must act."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from kumacp.identity.signing_keys import GLOBAL_SECRET, SECRET, KeyRing
from kumacp.store.api import Change, Operation, Store
from kumacp.store.following_driver import Following
from kumacp.xds.hub import Hub, Touched
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.registry import TYPES

log = logging.getLogger(__name__)

_TOKEN_SECRET_MARK = "-token-"  # noqa: S105


class FeedDriver:
    """The control plane's picture of the store. `place` says what the hub sees of a change, `on_batch` is
    called after the hub has taken a batch over."""

    def __init__(
        self,
        store: Store,
        hub: Hub,
        *,
        key_ring: Callable[[Iterable[Resource]], KeyRing],
        place: Callable[[Change], Change],
        on_batch: Callable[[Sequence[Change], Touched, bool], None],
    ) -> None:
        self._store = store
        self._hub = hub
        self._make_key_ring = key_ring
        self._place = place
        self._on_batch = on_batch
        self._known: dict[ResourceKey, tuple[datetime, int]] = {}
        self._waiting: dict[ResourceKey, asyncio.Event] = {}
        self._following = Following(store, "all resources", read=self._read, take=self._apply)
        self._loaded: Sequence[Resource] = ()
        self.secrets: dict[ResourceKey, Resource] = {}
        self._meshes: dict[str, Mesh] = {}
        self.keys = key_ring(())

    async def load(self) -> Sequence[Resource]:
        """Take over all that is stored, and return it; raises StoreUnavailable."""
        await self._following.begin()
        loaded, self._loaded = self._loaded, ()
        return loaded

    async def run(self) -> None:
        """Until the store is closed."""
        await self._following.run()

    async def applied(self, key: ResourceKey, version: int) -> bool:
        """Wait until this version of a resource has reached the hub; False when the resource was deleted."""
        while key not in self._known or self._known[key][1] < version:
            event = self._waiting.setdefault(key, asyncio.Event())
            await event.wait()
            if key not in self._known:
                return False
        return True

    def secret(self, type_: str, mesh: str, name: str) -> bytes | None:
        resource = self.secrets.get(ResourceKey(type_, mesh, name))
        return resource.spec.data if resource else None

    def has_mtls(self, mesh: str) -> bool:
        spec = self._meshes.get(mesh)
        return spec is not None and spec.enabled_backend is not None

    def mtls_backends(self, mesh: str) -> tuple[str, ...]:
        """Names of all its backends, also of those that are not enabled."""
        spec = self._meshes.get(mesh)
        return tuple(item.name for item in spec.mtls.backends) if spec and spec.mtls else ()

    async def _read(self) -> None:
        resources = [resource for type_ in TYPES for resource in await self._store.list(type_)]
        if self._following.begun:
            self._catch_up({resource.key: resource for resource in resources})
            return
        placed = (self._place(Change(Operation.CREATE, item.key, None, item)).new for item in resources)
        self._hub.load(filter(None, placed))
        for resource in resources:
            self._remember(resource.key, resource)
        self._renew_key_ring()
        self._loaded = resources

    def _catch_up(self, resources: Mapping[ResourceKey, Resource]) -> None:
        """Changes were lost: what is stored now is compared with what is known."""
        changes = [
            Change(Operation.UPDATE, key, None, resource)
            for key, resource in resources.items()
            if self._known.get(key) != _edition(resource)
        ]
        gone = [key for key in self._known if key not in resources]
        self._apply([*changes, *(Change(Operation.DELETE, key, None, None) for key in gone)])
        # What was made and deleted meanwhile is in no list.
        for event in self._waiting.values():
            event.set()
        self._waiting.clear()

    def _apply(self, batch: Sequence[Change]) -> None:
        touched = self._hub.apply([self._place(change) for change in batch])
        for change in batch:
            self._remember(change.key, change.new)
            event = self._waiting.pop(change.key, None)
            if event is not None:
                event.set()
        keys_changed = any(_holds_tokens(change.key) for change in batch)
        if keys_changed:
            self._renew_key_ring()
        self._on_batch(batch, touched, keys_changed)

    def _remember(self, key: ResourceKey, resource: Resource | None) -> None:
        if resource is None:
            self._known.pop(key, None)
            self.secrets.pop(key, None)
            if key.type == "Mesh":
                self._meshes.pop(key.name, None)
            return
        self._known[key] = _edition(resource)
        if key.type == "Mesh":
            self._meshes[key.name] = resource.spec
        if key.type in (SECRET, GLOBAL_SECRET):
            self.secrets[key] = resource

    def _renew_key_ring(self) -> None:
        self.keys = self._make_key_ring(self.secrets[key] for key in self.secrets if _holds_tokens(key))
        if self.keys.unreadable:
            log.error("secrets that hold no usable signing key: %s", ", ".join(self.keys.unreadable))


def _edition(resource: Resource) -> tuple[datetime, int]:
    """Tells a resource from one of the same name and version that was deleted before."""
    return resource.creation_time, resource.version


def _holds_tokens(key: ResourceKey) -> bool:
    return key.type in (SECRET, GLOBAL_SECRET) and _TOKEN_SECRET_MARK in key.name
