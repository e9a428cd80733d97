"""The connected zone proxies of one kind, current change by change. They follow all meshes.

Clusters and assignments are the same for all of them, so they exist once; of its own a proxy has its
listener, what is fitted to it, its admin endpoint and its secrets. As long as none is connected nothing is
kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from kumacp.xds.admin import admin_units
from kumacp.xds.common import Common
from kumacp.xds.edge.carrier import Carriage, Carrier
from kumacp.xds.edge.units import Chain, EdgeEndpoints, EdgeListener, edge_cluster
from kumacp.xds.model import IdentityRequest, IdentitySecret, ProxyMetadata, UnitInput
from kumacp.xds.proxy import Connected, TouchedRecord, Unrecorded
from kumacp.xds.reports import report_same_server_name
from kumacp.xds.transparent import REUSE_PORT
from kumacp.xds.units import Unit, UnitCache, UnitKey, by_key
from kumacp.xds.view import MeshDelta, MeshView, View
from kumamesh.names import node_id
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, XdsResource

_ANY_ADDRESS = "0.0.0.0"  # what a zone proxy listens at that says nothing else


class EdgeProxy(Connected):
    """A connected zone proxy. `resource` is None until it is stored; one that is deleted later is remembered,
    but a proxy that is not `stored` gets no certificates any more. Those are by mesh."""

    __slots__ = ("identities", "issued", "own", "resource", "stored", "wanted")

    def __init__(self, key: ResourceKey, metadata: ProxyMetadata) -> None:
        super().__init__(key, metadata)
        self.resource: Resource | None = None
        self.stored = False
        self.own: dict[UnitKey, Unit] = {}
        self.wanted: dict[str, IdentityRequest] = {}
        self.issued: dict[str, IdentityRequest] = {}
        self.identities: dict[str, IdentitySecret] = {}


class _Carried:
    """A service that is carried, and the units that all proxies have of it."""

    __slots__ = ("carriage", "units")

    def __init__(self, carriage: Carriage, units: Mapping[UnitKey, Unit]) -> None:
        self.carriage = carriage
        self.units = units

    @property
    def own(self) -> tuple[tuple[Chain, ...], tuple[UnitInput, ...]]:
        """What goes into what each proxy has of its own: chains, and clusters that are fitted to it."""
        fitted = (one.cluster for one in self.carriage.backings if one.endpoints is None)
        return self.carriage.chains, tuple(fitted)


class Edge:
    """Changes of meshes are taken over by `refresh`, those of the proxies' resources by `note`, and what each
    proxy has of its own follows with `finish`."""

    def __init__(self, carrier: Carrier, view: View, units: UnitCache, zone: str) -> None:
        self._carrier = carrier
        self._view = view
        self._units = units
        self._zone = zone
        self._common: Common[EdgeProxy] = Common()
        self._proxies: dict[ResourceKey, EdgeProxy] = {}
        self._carried: dict[tuple[str, str], _Carried] = {}
        self._services: dict[str, set[str]] = {}
        self._chains: tuple[Chain, ...] = ()
        self._trusted: dict[str, tuple[UnitInput, ...]] = {}
        self._stale = self._opened = False
        self._outdated: set[EdgeProxy] = set()
        self._unmet: dict[tuple[EdgeProxy, str], None] = {}

    def connect(self, key: ResourceKey, metadata: ProxyMetadata, resource: Resource | None) -> None:
        """`resource` None: it has nothing until there is one."""
        if not self._proxies:
            for view in self._view.meshes:
                self._refresh_all(view, Unrecorded())
            self._finish_chains()
        self._proxies[key] = EdgeProxy(key, metadata)
        self.note(key, resource, Unrecorded())
        self.finish(Unrecorded())

    def disconnect(self, key: ResourceKey) -> None:
        proxy = self._proxies.pop(key, None)
        if proxy is None:
            return
        self._common.members.discard(proxy)
        for mesh in proxy.wanted:
            self._unmet.pop((proxy, mesh), None)
        for unit in proxy.own.values():
            self._units.release(unit)
        if not self._proxies:
            for mesh, service in list(self._carried):
                self._drop(mesh, service, Unrecorded())
            self._trusted.clear()
            self._finish_chains()

    def desired(self, key: ResourceKey) -> Mapping[str, Mapping[str, XdsResource]]:
        """Live, as that of the hub; raises KeyError for a proxy that is not connected."""
        return self._proxies[key].desired

    def note(self, key: ResourceKey, resource: Resource | None, touched: TouchedRecord) -> None:
        """The resource of a proxy is another one, or gone."""
        proxy = self._proxies.get(key)
        if proxy is None:
            return
        proxy.stored = resource is not None
        proxy.resource = resource or proxy.resource
        if resource is not None and proxy not in self._common.members:
            self._common.members.add(proxy)
            proxy.lay_upon(self._common.desired, touched)
        for view in self._view.meshes:
            self._want_identity(view, proxy)
        self._outdated.add(proxy)
        self._opened = True

    def refresh(self, view: MeshView, delta: MeshDelta, touched: TouchedRecord) -> None:
        """A mesh is different, or gone."""
        if not self._proxies:
            return
        if delta.settings:
            self._refresh_all(view, touched)
        else:
            self._refresh_services(view, self._carrier.concerned(view, delta), touched)

    def finish(self, touched: TouchedRecord) -> None:
        """All that a batch made different is taken over."""
        if self._stale:
            self._finish_chains()
            self._outdated.update(self._proxies.values())
        outdated, self._outdated = self._outdated, set()
        for proxy in outdated:
            self._refresh_own(proxy, touched)

    def take_opened(self) -> bool:
        """Whether they listen elsewhere than when this was last asked, or carry more, or otherwise; what they
        carry no more does not count."""
        opened, self._opened = self._opened, False
        return opened

    def identity_requests(self) -> tuple[IdentityRequest, ...]:
        """As those of the hub."""
        unmet, self._unmet = self._unmet, {}
        wanted = ((proxy.wanted.get(mesh), proxy.issued.get(mesh)) for proxy, mesh in unmet)
        return tuple(request for request, issued in wanted if request is not None and request != issued)

    def set_identity(
        self, key: ResourceKey, identity: IdentitySecret, request: IdentityRequest, touched: TouchedRecord
    ) -> None:
        proxy = self._proxies.get(key)
        if proxy is not None and proxy.wanted.get(request.mesh) == request:
            proxy.issued[request.mesh], proxy.identities[request.mesh] = request, identity
            self._refresh_own(proxy, touched)

    def _refresh_all(self, view: MeshView, touched: TouchedRecord) -> None:
        carried = self._services.get(view.name, set())
        self._refresh_services(view, carried.union(self._carrier.services(view)), touched)
        trusted = tuple(self._carrier.trusted(view))
        before = self._trusted.pop(view.name, ())
        self._stale = self._stale or trusted != before
        if trusted:
            self._trusted[view.name] = trusted
        for proxy in self._proxies.values():
            self._want_identity(view, proxy)

    def _refresh_services(self, view: MeshView, services: Iterable[str], touched: TouchedRecord) -> None:
        for service in services:
            carriage = self._carrier.carry(view, service)
            if carriage is None:
                self._drop(view.name, service, touched)
            else:
                self._carry(view.name, service, carriage, touched)

    def _carry(self, mesh: str, service: str, carriage: Carriage, touched: TouchedRecord) -> None:
        at = (mesh, service)
        before = self._carried.get(at)
        if before is not None and before.carriage == carriage:
            return
        held = before.units if before else {}
        now = self._carried[at] = _Carried(carriage, self._built(carriage, held))
        self._services.setdefault(mesh, set()).add(service)
        for unit in now.units.values():
            self._common.put(unit, touched)
        self._forget(held.keys() - now.units.keys(), held, touched)
        if before is None or before.own != now.own:
            self._stale = self._opened = True

    def _built(self, carriage: Carriage, held: Mapping[UnitKey, Unit]) -> dict[UnitKey, Unit]:
        """What all proxies have of a service, in exchange for what is needed no more of that."""
        made: dict[UnitKey, Unit] = {}
        for cluster, endpoints in ((one.cluster, one.endpoints) for one in carriage.backings):
            if endpoints is not None:
                unit = self._units.replace(held.get((CLUSTER, cluster.name)), cluster)
                assignment = EdgeEndpoints(cluster.name, endpoints, unit.resource.version)
                made[unit.key] = unit
                unit = self._units.replace(held.get((ENDPOINT, cluster.name)), assignment)
                made[unit.key] = unit
        return made

    def _forget(self, keys: Iterable[UnitKey], held: Mapping[UnitKey, Unit], touched: TouchedRecord) -> None:
        for key in keys:
            self._units.release(held[key])
            self._common.drop(key, touched)

    def _drop(self, mesh: str, service: str, touched: TouchedRecord) -> None:
        """Also of what is not carried."""
        carried = self._carried.pop((mesh, service), None)
        if carried is None:
            return
        self._services[mesh].remove(service)
        if not self._services[mesh]:
            del self._services[mesh]
        self._forget(carried.units, carried.units, touched)
        self._stale = True

    def _finish_chains(self) -> None:
        """Server names are compared in lower case. Of services that differ in nothing else the one that is
        written so has the name, else the first."""
        self._stale = False
        chains: dict[str, Chain] = {}
        for at in sorted(self._carried, key=_rank):
            lost = [
                chain.sni
                for chain in self._carried[at].carriage.chains
                if chains.setdefault(chain.sni, chain) is not chain
            ]
            if lost:
                report_same_server_name(min(lost, key=len), edge_cluster(*at))
        self._chains = tuple(chains.values())

    def _want_identity(self, view: MeshView, proxy: EdgeProxy) -> None:
        mesh, settings = view.name, view.settings
        wanted = self._carrier.identity(view, proxy.key) if proxy.stored else None
        lacks_ca = settings.mode is not None and not settings.ca
        if wanted is None and proxy.stored and not lacks_ca and mesh in proxy.identities:
            del proxy.identities[mesh]
            proxy.issued.pop(mesh, None)
            self._stale = True
        if wanted == proxy.wanted.get(mesh):
            return
        if wanted is None:
            del proxy.wanted[mesh]
            proxy.issued.pop(mesh, None)
        else:
            proxy.wanted[mesh] = wanted
            self._unmet[proxy, mesh] = None

    def _refresh_own(self, proxy: EdgeProxy, touched: TouchedRecord) -> None:
        if proxy.resource is not None:
            inputs = by_key(self._own_inputs(proxy, proxy.resource))
            proxy.own = proxy.hold(self._units, proxy.own, inputs, touched)

    def _own_inputs(self, proxy: EdgeProxy, resource: Resource) -> Iterator[UnitInput]:
        networking, metadata = resource.spec.networking, proxy.metadata
        address = networking.address or _ANY_ADDRESS
        yield from admin_units(networking.address, metadata)
        if self._chains or self._carrier.always_listens:
            yield EdgeListener(
                address=address,
                port=networking.port,
                chains=self._chains,
                zone=self._zone,
                proxy=node_id("", proxy.key.name),
                reuse_port=REUSE_PORT in metadata.features,
            )
        for carried in self._carried.values():
            for cluster in carried.own[1]:
                yield self._carrier.fitted(cluster, address, metadata)
        for trusted in self._trusted.values():
            yield from trusted
        yield from proxy.identities.values()


def _rank(at: tuple[str, str]) -> tuple[str, str, bool, str]:
    mesh, service = at
    return mesh, service.lower(), service != service.lower(), service
