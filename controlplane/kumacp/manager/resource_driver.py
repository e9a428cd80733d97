"""The one way by which resources are written, from REST and from connecting proxies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from kumacp.manager import advice, membership, mesh_rules, zone_rules
from kumacp.manager.inbound_states import Rule, as_written
from kumacp.manager.labels import Place, labelled, of_global, of_zone
from kumacp.manager.proxies import (
    PROXY_TYPES,
    gateway_violations,
    identity_violations,
    offering_as_before,
    placed,
    registered_as_before,
)
from kumacp.mode import role
from kumacp.settings import CpSettings
from kumacp.store.api import Conflict, NotFound, Store
from kumacp.store.memory import utc_now
from kumamesh.resource import InvalidResource, Resource, ResourceKey, Violation
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.registry import TYPES

MAX_ATTEMPTS = 10
"""Writers that may be faster, one after the other, before a write without a version gives up."""
_OWNERS = {
    "DataplaneInsight": "Dataplane",
    "MeshInsight": "Mesh",
    "ZoneEgressInsight": "ZoneEgress",
    "ZoneIngressInsight": "ZoneIngress",
    "ZoneInsight": "Zone",
}
"""What the control plane observed goes with what it observed; both have the same mesh and name."""
_OF_NO_ORIGIN = ("Zone",)
"""What never leaves its control plane, besides what the control plane writes itself."""


@dataclass(frozen=True, slots=True)
class PutResult:
    """A finished write; `warnings` are lines for the person who asked for it."""

    resource: Resource
    created: bool
    warnings: tuple[str, ...] = ()


class ResourceManager:
    """Checks what depends on other resources, adds what the control plane adds, then stores."""

    def __init__(self, store: Store, settings: CpSettings, *, now: Callable[[], datetime] = utc_now) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._role = here = role(settings)
        self._discovers_health = settings.hds_enabled and not here.is_global
        self._place = None if here.is_global else Place(here.zone, settings.environment)

    async def put(self, resource: Resource, *, states: Rule = as_written) -> PutResult:
        """Create or replace. A resource with a version replaces exactly that version; version 0 replaces
        whatever is there. `states` gives the inbounds of a Dataplane theirs. Raises InvalidResource,
        Conflict, StoreUnavailable, and NotFound when the version or the owner of an insight is gone."""
        for _ in range(MAX_ATTEMPTS):
            try:
                return await self._put(resource, states)
            except Conflict:
                if resource.version:
                    raise
        raise Conflict(resource.key)

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        """Delete with all that it owns, version 0 whatever is there; raises NotFound, Conflict,
        InvalidResource."""
        resource = await self._store.get(key)
        if key.type == "Mesh" and not self._settings.unsafe_delete:
            _refuse(mesh_rules.delete_violations(len(await self._store.list("Dataplane", key.name))))
        if key.type == "Zone" and not self._settings.unsafe_delete:
            insight = await self._find(ResourceKey("ZoneInsight", "", key.name))
            _refuse(zone_rules.delete_violations(insight.spec if insight else None))
        if key.type == "Secret":
            mesh = await self._find(_mesh_key(key.mesh))
            if mesh is not None:
                _refuse(mesh_rules.secret_violations(resource.name, mesh.name, mesh.spec))
        await self._store.delete(key, version=version)

    async def change_dataplane(self, key: ResourceKey, change: Callable[[Dataplane], Dataplane]) -> bool:
        """Replace a stored Dataplane by what `change` makes of it, and nothing that somebody else wrote in
        between: then it is asked again. One that is gone stays gone. Returns whether anything was written;
        raises Conflict, StoreUnavailable."""
        for _ in range(MAX_ATTEMPTS):
            stored = await self._find(key)
            spec = change(stored.spec) if stored else None
            if stored is None or spec is stored.spec:
                return False
            try:
                await self._store.update(replace(stored, spec=spec))
                return True
            except NotFound:
                return False
            except Conflict:
                continue
        raise Conflict(key)

    async def _put(self, given: Resource, states: Rule) -> PutResult:
        mesh = await self._mesh_of(given)
        resource = self._labelled(given)
        self._check(resource, mesh)
        old = await self._find(given.key)
        if old is not None and given.version not in (0, old.version):
            raise Conflict(given.key)
        if old is not None and given.type in PROXY_TYPES and self._role.federated:
            _refuse(zone_rules.stranger_violations(old))
        resource = offering_as_before(old, resource)
        if given.type == "Dataplane" and self._discovers_health:
            resource = replace(resource, spec=states(old.spec if old else None, resource.spec))
        if old is not None:
            stored = await self._replace(old, resource)
        elif given.version:
            raise NotFound(given.key)
        else:
            stored = await self._create(resource)
        return PutResult(stored, old is None, tuple(await self._warnings(given, mesh)))

    def _check(self, given: Resource, mesh: Resource | None) -> None:
        """Raises InvalidResource for what can be told without the resource that is stored."""
        if given.type == "Zone" and self._role.is_global:
            _refuse(zone_rules.name_violations(given.name))
        elif given.type == "Mesh":
            _refuse(mesh_rules.backend_violations(given.spec))
        elif given.type == "Dataplane" and mesh is not None:
            _refuse((*gateway_violations(given.spec), *identity_violations(given.spec)))
            _refuse(membership.violations(mesh.name, mesh.spec, given.spec))

    def _labelled(self, given: Resource) -> Resource:
        """With what this control plane adds; raises InvalidResource."""
        if given.type in _OF_NO_ORIGIN or TYPES[given.type].read_only:
            return labelled(given)
        if self._place is None:
            return of_global(given)
        if given.type in PROXY_TYPES:
            return placed(given, self._place)
        if self._role.federated and TYPES[given.type].policy:
            return of_zone(given, self._place, {})
        return labelled(given)

    async def _create(self, resource: Resource) -> Resource:
        if resource.type == "Mesh":
            initial = await asyncio.to_thread(
                mesh_rules.initial_resources,
                resource,
                now=self._now(),
                permission=self._settings.create_mesh_routing_resources,
            )
            return (await self._store.create_all((resource, *map(self._labelled, initial))))[0]
        owner = _owner(resource.key)
        try:
            return await self._store.create(resource, owner=owner)
        except NotFound as error:
            if error.key.type == "Mesh":
                raise _no_mesh(error.key.name) from None
            raise

    async def _replace(self, old: Resource, new: Resource) -> Resource:
        if new.type == "Mesh":
            _refuse(mesh_rules.update_violations(old.spec, new.spec))
            await self._ensure_authorities(new)
        if new.type in PROXY_TYPES:
            new = registered_as_before(old, new)
        return await self._store.update(replace(new, version=new.version or old.version))

    async def _ensure_authorities(self, mesh: Resource) -> None:
        """A backend has its CA before the Mesh that names it is seen. A CA of which one half was deleted is
        of no use: it is made anew."""
        present = {secret.key for secret in await self._store.list("Secret", mesh.name)}
        for backend in mesh_rules.builtin_backends(mesh.spec):
            halves = [
                ResourceKey("Secret", mesh.name, name)
                for name in mesh_rules.ca_secret_names(mesh.name, backend)
            ]
            if present.issuperset(halves):
                continue
            for leftover in present.intersection(halves):
                await self._store.delete(leftover)
            secrets = await asyncio.to_thread(mesh_rules.new_ca_secrets, mesh.name, backend, self._now())
            await self._store.create_all([self._labelled(secret) for secret in secrets])

    async def _mesh_of(self, resource: Resource) -> Resource | None:
        if not resource.mesh:
            return None
        mesh = await self._find(_mesh_key(resource.mesh))
        if mesh is None:
            raise _no_mesh(resource.mesh)
        return mesh

    async def _warnings(self, given: Resource, mesh: Resource | None) -> list[str]:
        found = list(advice.name_warnings(given.name))
        if given.type == "Dataplane" and self._place is not None:
            found += advice.dataplane_warnings(given.spec, self._place.zone)
        elif given.type == "Mesh":
            permitted = any([await self._store.list(each, given.name) for each in advice.PERMISSION_TYPES])
            found += advice.mesh_warnings(given, permitted, await self._zones())
        elif given.type == "Zone" and not self._role.is_global:
            found += advice.zone_warnings()
        elif given.type in advice.PERMISSION_TYPES and mesh is not None:
            found += advice.permission_warnings(mesh)
        elif given.type == "ExternalService":
            secrets = await self._store.list("Secret", given.mesh)
            known = {secret.name: secret.spec.data for secret in secrets}
            found += advice.external_service_warnings(given, known)
        return found

    async def _zones(self) -> advice.Zones:
        egresses = frozenset(egress.spec.zone for egress in await self._store.list("ZoneEgress"))
        if not self._role.is_global:
            return advice.Zones(frozenset({self._role.zone}), egresses)
        return advice.Zones(frozenset(zone.name for zone in await self._store.list("Zone")), egresses)

    async def _find(self, key: ResourceKey) -> Resource | None:
        try:
            return await self._store.get(key)
        except NotFound:
            return None


def _mesh_key(name: str) -> ResourceKey:
    return ResourceKey("Mesh", "", name)


def _owner(key: ResourceKey) -> ResourceKey | None:
    if key.type in _OWNERS:
        return ResourceKey(_OWNERS[key.type], key.mesh, key.name)
    return _mesh_key(key.mesh) if key.mesh else None


def _refuse(violations: tuple[Violation, ...]) -> None:
    if violations:
        raise InvalidResource(violations)


def _no_mesh(name: str) -> InvalidResource:
    return InvalidResource((Violation("mesh", f'mesh "{name}" does not exist'),))
