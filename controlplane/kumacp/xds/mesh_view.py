"""The resources of one mesh as proxies see them, kept current change by change (DESIGN.md 3.8).

A service keeps its last known facts while no Dataplane offers it, as long as an outbound refers to it: the
restart of its only instance changes endpoints and nothing else. With mTLS in PERMISSIVE mode outbounds of a
service use TLS when every Dataplane of it reports a certificate of the enabled backend. After that, a proxy
that has just registered does not take them back to plain text: its port opens when it has its certificate.
Instances of other zones are called with mTLS only, which tells their ingress where to; without it they are
not called at all (kuma-cp 7.1).

A service that Dataplanes of any zone offer is inside the mesh, whatever ExternalServices say of it too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kumacp.vips.names import VipSettings
from kumacp.xds.external import ExternalServices, Fault
from kumacp.xds.facts import At, MeshSettings, Offer, ServiceFacts, mesh_settings, offers, outbound_services
from kumacp.xds.held import put, same
from kumacp.xds.instances import Instances
from kumacp.xds.model import Endpoint, Tags, TlsMode
from kumacp.xds.outside import ExternalEndpoint
from kumacp.xds.own_edges import OwnEdges
from kumacp.xds.permissions import Permissions
from kumacp.xds.pool import OutboundPool
from kumacp.xds.reach import Way, outbound_endpoints, remote_endpoints, ways
from kumacp.xds.remote import RemoteInstances, RemoteServices
from kumacp.xds.reports import NO_EGRESS, NO_MTLS, report_too_long
from kumacp.xds.service_state import Reach, ServiceState
from kumacp.xds.vips import NO_VIPS, MeshVips, VipDelta
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL, SERVICE_TAG
from kumamesh.resource import Resource
from kumamesh.sni import fits, tags_sni


@dataclass(frozen=True, slots=True)
class MeshDelta:
    """What a batch of changes made different in one mesh; names of services and Dataplanes. `faults` are
    those of ExternalServices that are new or gone, `instances` addresses at which other services are now.
    `vip_fault` is why the virtual addresses cannot be read from now on, "" if they can again. `exposed` are
    services of which this zone has other instances or tags for others, `remote` those of which other zones
    have, `egresses` that they are called through others of this zone; `cut_off` why other zones cannot be
    reached from now on."""

    endpoints: frozenset[str] = frozenset()
    facts: frozenset[str] = frozenset()
    dataplanes: frozenset[str] = frozenset()
    settings: bool = False
    permissions: bool = False
    faults: tuple[Fault, ...] = ()
    instances: frozenset[At] = frozenset()
    vips: VipDelta = NO_VIPS
    vip_fault: str | None = None
    exposed: frozenset[str] = frozenset()
    remote: frozenset[str] = frozenset()
    egresses: bool = False
    cut_off: str = ""


NO_DELTA = MeshDelta()


class _Told(NamedTuple):
    """What others know of a service."""

    facts: ServiceFacts
    reach: Reach
    exposed: Mapping[Tags, int] | None


class MeshView:
    """One mesh. Changes are noted one by one; `commit` says what they made different together. `egresses` are
    those of the zone, if that is the way out of it; empty without such a way."""

    def __init__(self, name: str, zone: str, pool: OutboundPool, vips: VipSettings, edges: OwnEdges) -> None:
        self.name = name
        self.settings = MeshSettings()
        self.zone = zone
        self.vips = MeshVips(vips)
        self.egresses: tuple[Endpoint, ...] = ()
        self._edges = edges
        self._instances = Instances()
        self._pool = pool
        self._mesh: Resource | None = None
        self._secrets: dict[str, bytes] = {}
        self._external = ExternalServices()
        self._remote = RemoteServices()
        self._cut_off = ""
        self._exposed: dict[str, Mapping[Tags, int]] = {}
        self._dataplanes: dict[str, Resource] = {}
        self._offers: dict[str, dict[str, tuple[Offer, ...]]] = {}
        self._issued: dict[str, str] = {}
        self._warming: set[str] = set()
        self._permissions = Permissions()
        self._services: dict[str, ServiceState] = {}
        self._dirty_services: set[str] = set()
        self._dataplanes_before: dict[str, Resource | None] = {}

    @property
    def empty(self) -> bool:
        kept = (
            self._mesh,
            self._secrets,
            self._external,
            self._remote,
            self._dataplanes,
            self._issued,
            self._warming,
            self._services,
            self.vips,
            self._permissions,
        )
        return not any(kept)

    def dataplane(self, name: str) -> Resource | None:
        return self._dataplanes.get(name)

    def endpoints(self, service: str) -> tuple[Endpoint, ...]:
        """Healthy endpoints of this zone, sorted by address and port."""
        return self._reach(service).local

    def outbound_endpoints(self, service: str, tags: Tags = ()) -> tuple[Endpoint, ...]:
        """Where sidecars send what is meant for instances with the tags, also those of other zones."""
        reach, wanted = self._reach(service), set(tags)
        return outbound_endpoints(
            tuple(one for one in reach.local if wanted.issubset(one.tags)) if tags else reach.local,
            self._ways(service, tags),
            reach.egresses,
            locality_aware=self.settings.locality_aware,
        )

    @property
    def services(self) -> Iterable[str]:
        """All of which something is known, here, in other zones or outside the mesh."""
        return self._services.keys()

    @property
    def external_services(self) -> Iterable[str]:
        """Those that ExternalServices stand for, offered by Dataplanes or not."""
        return self._external.services

    def remote_endpoints(self, service: str, tags: Tags = ()) -> tuple[Endpoint, ...]:
        """Where an egress sends what is meant for instances of other zones that have the tags."""
        return remote_endpoints(self._ways(service, tags))

    def remote(self, service: str) -> tuple[RemoteInstances, ...]:
        """What other zones have of a service, whether they can be reached or not."""
        return self._remote.of(service)

    def remote_services(self) -> Iterable[str]:
        """Services that other zones have."""
        return self._remote.services.keys()

    def exposed(self) -> Mapping[str, Mapping[Tags, int]]:
        """The number of healthy instances of this zone, by service and full set of tags; 0 for tags of which
        there are others only. Never change it."""
        return self._exposed

    def external_endpoints(self, service: str) -> tuple[ExternalEndpoint, ...]:
        """Of a service outside the mesh, sorted by the names of its ExternalServices."""
        external = self._reach(service).external
        return external.endpoints if external else ()

    @property
    def instances(self) -> Mapping[At, frozenset[str]]:
        """The services at every address where one listens, ready or not."""
        return self._instances.services

    def instances_of(self, service: str) -> Iterable[At]:
        state = self._services.get(service)
        return (offer.at for offer in state.offers()) if state else ()

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
        tls = strict or (self.settings.mode is not None and state.tls_ready)
        return ServiceFacts(state.protocol, tls=tls, edges=bool(state.reach.remote))

    @property
    def traffic_permissions(self) -> tuple[Resource, ...]:
        """Sorted by name."""
        return self._permissions.of("TrafficPermission")

    @property
    def mesh_traffic_permissions(self) -> tuple[Resource, ...]:
        """Sorted by name."""
        return self._permissions.of("MeshTrafficPermission")

    def note(self, type_: str, name: str, resource: Resource | None) -> None:
        """One change; `resource` None means deleted. Types that no proxy depends on change nothing."""
        match type_:
            case "Mesh":
                self._mesh = resource
            case "Secret":
                put(self._secrets, name, resource.spec.data if resource else None)
                self._external.note_secret(name)
            case "Dataplane":
                self._note_dataplane(name, resource)
            case "DataplaneInsight":
                self._note_insight(name, resource)
            case "Config":
                self.vips.note(resource.spec.config if resource else None)
            case "ExternalService":
                self._external.note(name, resource.spec if resource else None)
            case "TrafficPermission" | "MeshTrafficPermission":
                self._permissions.note(type_, name, resource)

    def note_remote(self, ingress: str, service: str, many: tuple[RemoteInstances, ...]) -> None:
        """All that an ingress of another zone offers of a service in this mesh."""
        self._remote.note(ingress, service, many)

    def note_warming(self, name: str, warming: bool) -> None:
        """Whether the proxy of a Dataplane has yet to open its ports: nobody is sent there until then."""
        if warming is not (name in self._warming):
            (self._warming.add if warming else self._warming.discard)(name)
            self._dirty_services.update(self._offers.get(name, ()))

    def commit(self) -> MeshDelta:
        """What is different since the last commit."""
        settings = mesh_settings(self.name, self._mesh.spec if self._mesh else None, self._secrets)
        egresses = self._edges.egress_endpoints if settings.zone_egress else ()
        settings_changed, egresses_changed = settings != self.settings, egresses != self.egresses
        vips, vip_fault = self._commit_vips()
        concerned, faults = self._external.commit(self._secrets)
        for service in (*concerned, *self._remote.noted):
            self._service(service)
        dirty = self._take_dirty(settings=settings_changed, egresses=egresses_changed)
        before = {service: self._told(service) for service in dirty}
        if settings.backend != self.settings.backend:
            for state in self._services.values():
                state.tls_ready = False
        self.settings, self.egresses = settings, egresses
        for service in dirty:
            self._refresh(service)
        told = {service: (before[service], self._told(service)) for service in dirty}
        return MeshDelta(
            endpoints=frozenset(name for name, (old, new) in told.items() if old.reach != new.reach),
            facts=frozenset(name for name, (old, new) in told.items() if old.facts != new.facts),
            dataplanes=self._commit_dataplanes(),
            settings=settings_changed,
            permissions=self._permissions.commit(),
            faults=faults,
            instances=self._instances.commit(),
            vips=vips,
            vip_fault=vip_fault,
            exposed=frozenset(name for name, (old, new) in told.items() if old.exposed != new.exposed),
            remote=self._remote.commit(),
            egresses=egresses_changed,
            cut_off=self._commit_cut_off(),
        )

    def _take_dirty(self, *, settings: bool, egresses: bool) -> set[str]:
        dirty, self._dirty_services = self._dirty_services, set()
        if settings:
            return set(self._services)
        if egresses:
            dirty.update(
                name for name, state in self._services.items() if state.reach.remote or state.reach.external
            )
        return dirty

    def _commit_dataplanes(self) -> frozenset[str]:
        noted, self._dataplanes_before = self._dataplanes_before, {}
        return frozenset(
            name for name, before in noted.items() if not same(before, self._dataplanes.get(name))
        )

    def _commit_vips(self) -> tuple[VipDelta, str | None]:
        services, fault = self.vips.services, self.vips.fault
        delta = self.vips.commit()
        self._refer(services, self.vips.services)
        return delta, None if self.vips.fault == fault else self.vips.fault

    def _commit_cut_off(self) -> str:
        before = self._cut_off
        self._cut_off = ""
        if self._mesh is not None and self._remote:
            if self.settings.mode is None:
                self._cut_off = NO_MTLS
            elif self.settings.zone_egress and not self.egresses:
                self._cut_off = NO_EGRESS
        return "" if self._cut_off == before else self._cut_off

    def _refer(self, before: frozenset[str], after: frozenset[str]) -> None:
        """Services to which somebody's outbounds lead."""
        for service in after - before:
            self._service(service).references += 1
        for service in before - after:
            self._service(service).references -= 1

    def _note_insight(self, name: str, resource: Resource | None) -> None:
        mtls = resource.spec.m_tls if resource else None
        backend = mtls.issued_backend if mtls else ""
        if backend != self._issued.get(name, ""):
            put(self._issued, name, backend or None)
            self._dirty_services.update(self._offers.get(name, ()))

    def _note_dataplane(self, name: str, resource: Resource | None) -> None:
        before = self._dataplanes.get(name)
        if same(before, resource):
            return
        self._dataplanes_before.setdefault(name, before)
        put(self._dataplanes, name, self._pool.share(resource) if resource else None)
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
            put(self._service(service).members, name, offered.get(service))

    def _service(self, service: str) -> ServiceState:
        self._dirty_services.add(service)
        return self._services.setdefault(service, ServiceState())

    def _reach(self, service: str) -> Reach:
        state = self._services.get(service)
        return state.reach if state else Reach()

    def _told(self, service: str) -> _Told:
        return _Told(self.facts(service), self._reach(service), self._exposed.get(service))

    def _ways(self, service: str, tags: Tags) -> tuple[Way, ...]:
        found = ways(self._reach(service).remote, tags)
        if found and not fits(name := tags_sni({SERVICE_TAG: service, **dict(tags)}, self.name)):
            report_too_long(self.name, name)
            return ()
        return found

    def _refresh(self, service: str) -> None:
        """Derive the state of a service anew; one that nobody offers or refers to is forgotten."""
        state = self._services[service]
        external, remote = self._external.of(service), self._remote.of(service)
        inside = tuple(one for one in remote if not one.external)
        state.is_external = external is not None and not state.members and not inside
        state.reach = Reach(
            local=state.healthy(self._warming),
            remote=inside if self.settings.mode is not None else (),
            external=external,
            egresses=self.egresses if self.settings.zone_egress and (inside or external) else None,
        )
        state.infer_protocol(inside)
        put(self._exposed, service, state.exposed(service, self._warming) if state.members else None)
        if state.members:
            state.tls_ready = bool(self.settings.backend) and self._tls_ready(state)
        elif state.reach.remote:
            state.tls_ready = True
        elif not (remote or external or state.references):
            del self._services[service]

    def _tls_ready(self, state: ServiceState) -> bool:
        lacking = [name for name in state.members if self._issued.get(name) != self.settings.backend]
        if not state.tls_ready:
            return not lacking
        return all(name not in self._issued and self._registered_by_connection(name) for name in lacking)

    def _registered_by_connection(self, name: str) -> bool:
        return self._dataplanes[name].labels.get(MANAGED_BY_LABEL) == MANAGED_BY_CONNECTION
