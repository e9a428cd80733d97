"""The resources of each mesh as proxies see them, kept current change by change (DESIGN.md 3.8).

A service keeps its last known facts while no Dataplane offers it, as long as an outbound refers to it: the
restart of its only instance changes endpoints and nothing else. With mTLS in PERMISSIVE mode outbounds of a
service use TLS when every Dataplane of it reports a certificate of the enabled backend. After that, a proxy
that has just registered does not take them back to plain text: its port opens when it has its certificate.

A service that Dataplanes offer is inside the mesh, whatever ExternalServices say of it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from kumacp.store.api import Change
from kumacp.vips.names import VipSettings, mesh_of
from kumacp.xds.external import ExternalFacts, ExternalServices, Fault
from kumacp.xds.facts import (
    DEFAULT_PROTOCOL,
    At,
    MeshSettings,
    Offer,
    ServiceFacts,
    common_protocol,
    mesh_settings,
    offers,
    outbound_services,
)
from kumacp.xds.instances import Instances
from kumacp.xds.model import Endpoint, TlsMode
from kumacp.xds.outside import ExternalEndpoint
from kumacp.xds.pool import OutboundPool
from kumacp.xds.vips import NO_VIPS, MeshVips, VipDelta
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL
from kumamesh.resource import Resource, ResourceKey

V = TypeVar("V")

PERMISSION_TYPES = ("TrafficPermission", "MeshTrafficPermission")


@dataclass(frozen=True, slots=True)
class MeshDelta:
    """What a batch of changes made different in one mesh; names of services and Dataplanes. `faults` are
    those of ExternalServices that are new or gone, `instances` addresses at which other services are now.
    `vip_fault` is why the virtual addresses cannot be read from now on, "" if they can again."""

    endpoints: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    dataplanes: frozenset[str] = frozenset()
    settings: bool = False
    permissions: bool = False
    faults: tuple[Fault, ...] = ()
    instances: frozenset[At] = frozenset()
    vips: VipDelta = NO_VIPS
    vip_fault: str | None = None


class _Service:
    """What is known of a service: who offers it, how many Dataplanes have outbounds to it; that virtual
    addresses lead to it counts as one more."""

    __slots__ = ("endpoints", "external", "is_external", "members", "protocol", "references", "tls_ready")

    def __init__(self) -> None:
        self.members: dict[str, tuple[Offer, ...]] = {}
        self.references = 0
        self.protocol = DEFAULT_PROTOCOL
        self.tls_ready = False
        self.endpoints: tuple[Endpoint, ...] = ()
        self.external: ExternalFacts | None = None
        self.is_external = False


class MeshView:
    """One mesh. Changes are noted one by one; `commit` says what they made different together."""

    def __init__(self, name: str, zone: str, pool: OutboundPool, vips: VipSettings) -> None:
        self.name = name
        self.settings = MeshSettings()
        self.zone = zone
        self.vips = MeshVips(vips)
        self._instances = Instances()
        self._pool = pool
        self._mesh: Resource | None = None
        self._secrets: dict[str, bytes] = {}
        self._external = ExternalServices()
        self._dataplanes: dict[str, Resource] = {}
        self._offers: dict[str, dict[str, tuple[Offer, ...]]] = {}
        self._issued: dict[str, str] = {}
        self._warming: set[str] = set()
        self._permissions: dict[str, dict[str, Resource]] = {type_: {} for type_ in PERMISSION_TYPES}
        self._sorted_permissions: dict[str, tuple[Resource, ...]] = dict.fromkeys(PERMISSION_TYPES, ())
        self._services: dict[str, _Service] = {}
        self._dirty_services: set[str] = set()
        self._dataplanes_before: dict[str, Resource | None] = {}
        self._permissions_before: dict[tuple[str, str], Resource | None] = {}

    @property
    def empty(self) -> bool:
        kept = (
            self._mesh,
            self._secrets,
            self._external,
            self._dataplanes,
            self._issued,
            self._warming,
            self._services,
            self.vips,
        )
        return not any(kept) and not any(self._permissions.values())

    def dataplane(self, name: str) -> Resource | None:
        return self._dataplanes.get(name)

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """Healthy endpoints, sorted by address and port."""
        state = self._services.get(service)
        return state.endpoints if state else ()

    def external_endpoints(self, service: str) -> tuple[ExternalEndpoint, ...]:
        """Of a service outside the mesh, sorted by the names of its ExternalServices."""
        state = self._services.get(service)
        return state.external.endpoints if state and state.external else ()

    @property
    def instances(self) -> Mapping[At, frozenset[str]]:
        """The services at every address where one listens, ready or not."""
        return self._instances.services

    def instances_of(self, service: str) -> Iterable[At]:
        state = self._services.get(service)
        offered = state.members.values() if state else ()
        return (offer.at for offers_ in offered for offer in offers_)

    @property
    def faults(self) -> Mapping[str, str]:
        """Why ExternalServices cannot be used as they are written, by their names."""
        return self._external.faults

    def facts(self, service: str) -> ServiceFacts:
        """For a service that nobody ever offered: tcp, and TLS only if the mesh is STRICT."""
        state = self._services.get(service)
        strict = self.settings.mode is TlsMode.STRICT
        if state is None:
            return ServiceFacts(tls=strict)
        if state.is_external:
            return ServiceFacts(state.protocol, external=True)
        return ServiceFacts(
            state.protocol, tls=strict or (self.settings.mode is not None and state.tls_ready)
        )

    @property
    def traffic_permissions(self) -> tuple[Resource, ...]:
        """Sorted by name."""
        return self._sorted_permissions["TrafficPermission"]

    @property
    def mesh_traffic_permissions(self) -> tuple[Resource, ...]:
        """Sorted by name."""
        return self._sorted_permissions["MeshTrafficPermission"]

    def note(self, type_: str, name: str, resource: Resource | None) -> None:
        """One change; `resource` None means deleted. Types that no proxy depends on change nothing."""
        match type_:
            case "Mesh":
                self._mesh = resource
            case "Secret":
                self._note_secret(name, resource)
            case "Dataplane":
                self._note_dataplane(name, resource)
            case "DataplaneInsight":
                self._note_insight(name, resource)
            case "Config":
                self.vips.note(resource.spec.config if resource else None)
            case "ExternalService":
                self._external.note(name, resource.spec if resource else None)
            case "TrafficPermission" | "MeshTrafficPermission":
                held = self._permissions[type_]
                self._permissions_before.setdefault((type_, name), held.get(name))
                _put(held, name, resource)

    def note_warming(self, name: str, warming: bool) -> None:
        """Whether the proxy of a Dataplane has yet to open its ports: nobody is sent there until then."""
        if warming is not (name in self._warming):
            (self._warming.add if warming else self._warming.discard)(name)
            self._dirty_services.update(self._offers.get(name, ()))

    def commit(self) -> MeshDelta:
        """What is different since the last commit."""
        settings = mesh_settings(self.name, self._mesh.spec if self._mesh else None, self._secrets)
        vips, vip_fault = self._commit_vips()
        concerned, faults = self._external.commit(self._secrets)
        for service in concerned:
            self._service(service)
        settings_changed = settings != self.settings
        dirty = set(self._services) if settings_changed else self._dirty_services
        facts_before = {service: self.facts(service) for service in dirty}
        if settings.backend != self.settings.backend:
            for state in self._services.values():
                state.tls_ready = False
        self.settings = settings
        delta = MeshDelta(
            endpoints=frozenset(service for service in dirty if self._refresh(service)),
            facts=frozenset(service for service in dirty if self.facts(service) != facts_before[service]),
            dataplanes=frozenset(
                name
                for name, before in self._dataplanes_before.items()
                if not _same(before, self._dataplanes.get(name))
            ),
            settings=settings_changed,
            permissions=self._commit_permissions(),
            faults=faults,
            instances=self._instances.commit(),
            vips=vips,
            vip_fault=vip_fault,
        )
        self._dirty_services = set()
        self._dataplanes_before = {}
        return delta

    def _commit_vips(self) -> tuple[VipDelta, str | None]:
        services, fault = self.vips.services, self.vips.fault
        delta = self.vips.commit()
        self._refer(services, self.vips.services)
        return delta, None if self.vips.fault == fault else self.vips.fault

    def _refer(self, before: frozenset[str], after: frozenset[str]) -> None:
        """Services to which somebody's outbounds lead."""
        for service in after - before:
            self._service(service).references += 1
        for service in before - after:
            self._service(service).references -= 1

    def _commit_permissions(self) -> bool:
        noted, self._permissions_before = self._permissions_before, {}
        for type_ in {type_ for type_, _ in noted}:
            self._sorted_permissions[type_] = tuple(
                resource for _, resource in sorted(self._permissions[type_].items())
            )
        return any(
            not _same(before, self._permissions[type_].get(name)) for (type_, name), before in noted.items()
        )

    def _note_secret(self, name: str, resource: Resource | None) -> None:
        _put(self._secrets, name, resource.spec.data if resource else None)
        self._external.note_secret(name)

    def _note_insight(self, name: str, resource: Resource | None) -> None:
        mtls = resource.spec.m_tls if resource else None
        backend = mtls.issued_backend if mtls else ""
        if backend != self._issued.get(name, ""):
            _put(self._issued, name, backend or None)
            self._dirty_services.update(self._offers.get(name, ()))

    def _note_dataplane(self, name: str, resource: Resource | None) -> None:
        before = self._dataplanes.get(name)
        if _same(before, resource):
            return
        self._dataplanes_before.setdefault(name, before)
        _put(self._dataplanes, name, self._pool.share(resource) if resource else None)
        if resource is None:
            self._warming.discard(name)
        self._refer(
            outbound_services(before.spec) if before else frozenset(),
            outbound_services(resource.spec) if resource else frozenset(),
        )
        offered_before = self._offers.pop(name, {})
        offered = offers(resource.spec, self.zone) if resource else {}
        if offered:
            self._offers[name] = offered
        self._instances.note(offered_before, offered)
        for service in offered_before.keys() | offered.keys():
            _put(self._service(service).members, name, offered.get(service))

    def _service(self, service: str) -> _Service:
        self._dirty_services.add(service)
        return self._services.setdefault(service, _Service())

    def _refresh(self, service: str) -> bool:
        """Derive the state of a service anew; whether its endpoints are others."""
        state = self._services[service]
        before = (state.endpoints, state.external)
        state.external = self._external.of(service)
        state.is_external = state.external is not None and not state.members
        if state.members:
            every = [offer for offered in state.members.values() for offer in offered]
            found = (
                offer.endpoint
                for name, offered in state.members.items()
                for offer in offered
                if offer.endpoint and name not in self._warming
            )
            state.endpoints = tuple(sorted(found, key=lambda at: (at.address, at.port, at.tags)))
            state.protocol = common_protocol(offer.protocol for offer in every)
            state.tls_ready = bool(self.settings.backend) and self._tls_ready(state)
        else:
            state.endpoints = ()
            if state.external is not None:
                state.protocol = state.external.protocol
            elif not state.references:
                del self._services[service]
        return (state.endpoints, state.external) != before

    def _tls_ready(self, state: _Service) -> bool:
        lacking = [name for name in state.members if self._issued.get(name) != self.settings.backend]
        if not state.tls_ready:
            return not lacking
        return all(name not in self._issued and self._registered_by_connection(name) for name in lacking)

    def _registered_by_connection(self, name: str) -> bool:
        return self._dataplanes[name].labels.get(MANAGED_BY_LABEL) == MANAGED_BY_CONNECTION


class View:
    """All meshes of a zone."""

    def __init__(self, zone: str, vips: VipSettings | None = None) -> None:
        self._zone = zone
        self._vips = vips or VipSettings()
        self._pool = OutboundPool()
        self._meshes: dict[str, MeshView] = {}

    def mesh(self, name: str) -> MeshView:
        """The mesh as it is; one that nothing is known of has no mTLS and no services."""
        return self._meshes.get(name) or MeshView(name, self._zone, self._pool, self._vips)

    def faults(self) -> dict[ResourceKey, str]:
        """Why ExternalServices cannot be used as they are written."""
        return {
            ResourceKey("ExternalService", mesh.name, name): reason
            for mesh in self._meshes.values()
            for name, reason in mesh.faults.items()
        }

    def apply(self, changes: Iterable[Change]) -> dict[str, MeshDelta]:
        """Take over committed changes; says what they made different, by mesh, and nothing else."""
        concerned: dict[str, MeshView] = {}
        for change in changes:
            key = change.key
            name = mesh_of_key(key)
            if name:
                concerned[name] = self._mesh(name)
                concerned[name].note(key.type, key.name, change.new)
        return self._commit(concerned)

    def set_warming(self, proxy: ResourceKey, warming: bool) -> dict[str, MeshDelta]:
        """What it makes different that a proxy has yet to open its ports, or has opened them."""
        mesh = self._mesh(proxy.mesh)
        mesh.note_warming(proxy.name, warming)
        return self._commit({proxy.mesh: mesh})

    def _mesh(self, name: str) -> MeshView:
        mesh = self._meshes.get(name)
        if mesh is None:
            mesh = self._meshes[name] = MeshView(name, self._zone, self._pool, self._vips)
        return mesh

    def _commit(self, concerned: Mapping[str, MeshView]) -> dict[str, MeshDelta]:
        deltas = {name: mesh.commit() for name, mesh in concerned.items()}
        for name, mesh in concerned.items():
            if mesh.empty:
                del self._meshes[name]
        return {name: delta for name, delta in deltas.items() if delta != MeshDelta()}


def mesh_of_key(key: ResourceKey) -> str:
    """The mesh that a resource says something of; "" for one that is of no mesh."""
    if key.type == "Config":
        return mesh_of(key.name) or ""
    return key.name if key.type == "Mesh" else key.mesh


def _put(held: dict[str, V], name: str, value: V | None) -> None:
    if value is None:
        held.pop(name, None)
    else:
        held[name] = value


def _same(one: Resource | None, other: Resource | None) -> bool:
    """Whether nothing that configuration depends on differs; times of writing and versions do not count."""
    if one is None or other is None:
        return one is other
    return one.spec == other.spec and one.labels == other.labels and one.creation_time == other.creation_time
