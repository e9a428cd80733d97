"""The configuration of every connected proxy, kept current change by change (DESIGN.md 3.8).

A change costs the units that depend on it and the proxies that hold those, nothing else: an endpoint of a
service rebuilds one assignment and touches the proxies with outbounds to the service; a permission touches
the proxies for whose inbounds it decides differently; a write that nothing depends on touches nobody.

The hub says what is different, not in which order it travels. The session sends clusters, assignments,
listeners, routes and secrets in that order, and removes what is gone last, in `kumamesh.xds.REMOVAL_ORDER`.
So when mTLS is switched on, a cluster or listener that refers to secrets warms until they arrive while the
one before it goes on serving; switched off, secrets go after everything that referred to them. Both ends of
a connection are switched by one batch, but Envoys apply it independently: as with Kuma, only PERMISSIVE
before STRICT changes a mesh under load without failed connections.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from kumacp.store.api import Change, Operation
from kumacp.vips.names import VipSettings
from kumacp.xds import sidecar
from kumacp.xds.available import Available
from kumacp.xds.destinations import Destination
from kumacp.xds.direct_access import direct_listeners, directly_accessed, listener_key
from kumacp.xds.edge.carrier import Carrier
from kumacp.xds.edge.edge import Edge
from kumacp.xds.edge.ingress import Ingress
from kumacp.xds.facts import At
from kumacp.xds.layer import Layer, Layers
from kumacp.xds.model import IdentityRequest, IdentitySecret, ProxyMetadata, UnitInput
from kumacp.xds.naming import name_units
from kumacp.xds.outbounds import outbound_units
from kumacp.xds.proxy import Proxy, Touched, TouchedRecord, Unrecorded
from kumacp.xds.reports import report_cut_off, report_external_services, report_vips
from kumacp.xds.services import SharedDestination, SharedDestinations
from kumacp.xds.sight import sight
from kumacp.xds.units import UnitCache
from kumacp.xds.view import MeshDelta, MeshView, View
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

__all__ = ["Counters", "Hub", "Touched"]

DATAPLANE = "Dataplane"
INGRESS, EGRESS = "ZoneIngress", "ZoneEgress"


@dataclass(frozen=True, slots=True)
class Counters:
    """Since the start: units built, units taken from those built before, proxies woken (per batch). `held` is
    the number of units in memory now."""

    built: int
    reused: int
    woken: int
    held: int


class Hub:
    """Plans and desired resources of all connected proxies of a zone."""

    def __init__(
        self,
        zone: str,
        build: Callable[[UnitInput], XdsResource],
        permission: sidecar.InboundRbac,
        vips: VipSettings | None = None,
        carriers: Iterable[Carrier] = (Ingress(),),
    ) -> None:
        self._view = View(zone, vips)
        self._units = UnitCache(build)
        self._shared = SharedDestinations(self._units)
        self._layers = Layers(self._units, self._shared)
        self._edges = {carrier.type: Edge(carrier, self._view, self._units, zone) for carrier in carriers}
        self.available = Available()
        self._direct: dict[str, set[Proxy]] = {}
        self._permission = permission
        self._proxies: dict[str, dict[ResourceKey, Proxy]] = {}
        self._unmet: dict[Proxy, None] = {}
        self._woken = 0

    @property
    def faults(self) -> Mapping[ResourceKey, str]:
        """Why ExternalServices cannot be used as they are written; each keeps the endpoint that it had."""
        return self._view.faults()

    @property
    def counters(self) -> Counters:
        return Counters(self._units.built, self._units.reused, self._woken, len(self._units))

    @property
    def ingresses(self) -> Mapping[str, Resource]:
        """The zone's own ones by name, with IPs for their addresses."""
        return self._view.ingresses

    def load(self, resources: Iterable[Resource]) -> None:
        """Everything stored, before proxies connect."""
        self.apply(Change(Operation.CREATE, resource.key, None, resource) for resource in resources)

    def apply(self, changes: Iterable[Change]) -> Touched:
        """Take over committed changes; what they made different, with those proxies only."""
        deltas = self._view.apply(changes)
        return self._follow(deltas, self._view.take_edges_changed())

    def take_opened(self) -> bool:
        """Whether egresses lead anywhere, since this was last asked, where they did not lead before."""
        return EGRESS in self._edges and self._edges[EGRESS].take_opened()

    def set_warming(self, proxy: ResourceKey, warming: bool) -> Touched:
        """A proxy that starts is nobody's endpoint until it says, by what it accepted, that its ports are
        open. Of a proxy that is not stored yet it is remembered. Zone proxies are nobody's endpoints here."""
        return self._follow(self._view.set_warming(proxy, warming) if proxy.mesh else {})

    def connect(self, proxy: ResourceKey, metadata: ProxyMetadata) -> None:
        """From now on `desired` answers for the proxy. One that is not stored yet has nothing until it is."""
        self.disconnect(proxy)
        edge = self._edges.get(proxy.type)
        if edge is not None:
            edge.connect(proxy, metadata, self._view.edge(proxy))
            return
        state = Proxy(proxy, metadata)
        self._proxies.setdefault(proxy.mesh, {})[proxy] = state
        view = self._view.mesh(proxy.mesh)
        self._adopt_dataplane(view, state)
        self._replan(view, state, Unrecorded())

    def disconnect(self, proxy: ResourceKey) -> None:
        """Forget the proxy, and its identity with it."""
        edge = self._edges.get(proxy.type)
        if edge is not None:
            edge.disconnect(proxy)
            return
        proxies = self._proxies.get(proxy.mesh, {})
        state = proxies.pop(proxy, None)
        if state is None:
            return
        if not proxies:
            del self._proxies[proxy.mesh]
        self._unmet.pop(state, None)
        self._note_direct(state, active=False)
        self._let_go(state)

    def _let_go(self, state: Proxy) -> None:
        for unit in state.units:
            self._units.release(unit)
        for destination in state.destinations:
            self._shared.unsubscribe(state.key.mesh, destination, state)
        self._layers.part(state)

    def desired(self, proxy: ResourceKey) -> Mapping[str, Mapping[str, XdsResource]]:
        """Live mapping type_url -> name -> resource of a connected proxy; raises KeyError for another."""
        edge = self._edges.get(proxy.type)
        return edge.desired(proxy) if edge is not None else self._proxies[proxy.mesh][proxy].desired

    def preview(
        self, proxy: ResourceKey, permission: sidecar.InboundRbac | None = None
    ) -> Mapping[str, Mapping[str, XdsResource]]:
        """What a proxy should have, connected or not, if `permission` decided about its inbounds; kept by
        nobody. Raises KeyError when its Dataplane is not known."""
        view = self._view.mesh(proxy.mesh)
        dataplane = view.dataplane(proxy.name)
        if dataplane is None:
            raise KeyError(proxy)
        connected = self._proxies.get(proxy.mesh, {}).get(proxy) or Proxy(proxy, ProxyMetadata())
        state = Proxy(proxy, connected.metadata)
        permission = permission or self._permission
        plan = sidecar.plan(view, dataplane, state.metadata, permission, connected.identity)
        self._carry_out(view, state, plan, Unrecorded())
        self._let_go(state)
        return state.desired

    def identity_requests(self) -> tuple[IdentityRequest, ...]:
        """Certificates to issue, each told once. When to renew one is not decided here."""
        unmet, self._unmet = self._unmet, {}
        wanted = ((proxy.wanted, proxy.issued) for proxy in unmet)
        found = [request for request, issued in wanted if request is not None and request != issued]
        for edge in self._edges.values():
            found += edge.identity_requests()
        return tuple(found)

    def set_identity(self, proxy: ResourceKey, identity: IdentitySecret, request: IdentityRequest) -> Touched:
        """Hand a new or renewed certificate to a proxy. One that is no longer wanted is ignored: a request
        for what is wanted instead was told already."""
        touched = TouchedRecord()
        edge = self._edges.get(proxy.type)
        if edge is not None:
            edge.set_identity(proxy, identity, request, touched)
        state = self._proxies.get(proxy.mesh, {}).get(proxy)
        if state is not None and state.wanted == request:
            state.issued, state.identity = request, identity
            self._refresh_own(self._view.mesh(proxy.mesh), state, touched)
        return self._waking(touched)

    def _follow(self, deltas: Mapping[str, MeshDelta], edges: Collection[ResourceKey] = ()) -> Touched:
        """Take over what is different in meshes, and which zone proxies' resources are."""
        touched = TouchedRecord()
        for mesh, delta in deltas.items():
            report_external_services(mesh, delta.faults)
            report_vips(mesh, delta.vip_fault)
            report_cut_off(mesh, delta.cut_off)
            view = self._view.mesh(mesh)
            self._refresh(view, delta, touched)
            for edge in self._edges.values():
                edge.refresh(view, delta, touched)
            self.available.refresh(view, delta)
        for key in edges:
            if key.type in self._edges:
                self._edges[key.type].note(key, self._view.edge(key), touched)
        for edge in self._edges.values():
            edge.finish(touched)
        self.available.settle(moved=any(key.type == INGRESS for key in edges))
        return self._waking(touched)

    def _waking(self, record: TouchedRecord) -> Touched:
        touched = record.result()
        self._woken += len(touched)
        return touched

    def _refresh(self, view: MeshView, delta: MeshDelta, touched: TouchedRecord) -> None:
        proxies = self._proxies.get(view.name, {})
        keys = (ResourceKey(DATAPLANE, view.name, name) for name in delta.dataplanes)
        replanned = {proxies[key] for key in keys if key in proxies}
        for proxy in replanned:
            self._adopt_dataplane(view, proxy)
        # First, so that what nobody leads to any more is not brought up to date.
        gained = self._update_layers(view, delta, touched)
        if delta.settings:
            used = self._shared.all(view.name)
        else:
            used = self._shared.of(view.name, delta.endpoints | delta.facts)
        for shared in used:
            self._refresh_shared(view, shared, replanned, touched)
        for layer, destinations in gained:
            layer.reach(view, destinations, touched)
        for proxy in replanned:
            self._replan(view, proxy, touched)
        self._refresh_direct(view, delta, replanned, touched)
        if delta.settings or (delta.permissions and view.settings.mode is not None):
            for proxy in proxies.values():
                if proxy not in replanned:
                    self._refresh_own(view, proxy, touched)

    def _refresh_shared(
        self, view: MeshView, shared: SharedDestination, replanned: set[Proxy], touched: TouchedRecord
    ) -> None:
        """Bring a destination up to date, with all who use it and are not planned anew anyway."""
        manner_before = shared.manner
        self._shared.refresh(view, shared)
        changed = shared.manner != manner_before
        service = shared.destination.service
        for subscriber in shared.subscribers:
            if isinstance(subscriber, Layer):
                shared.put(subscriber, touched)
                if changed:
                    subscriber.refresh_service(view, service, touched)
            elif isinstance(subscriber, Proxy) and subscriber.dataplane and subscriber not in replanned:
                shared.put(subscriber, touched)
                if changed:
                    self._refresh_outbounds(view, subscriber, subscriber.dataplane, service, touched)

    def _refresh_outbounds(
        self, view: MeshView, proxy: Proxy, dataplane: Resource, service: str, touched: TouchedRecord
    ) -> None:
        inputs = outbound_units(view, dataplane, proxy.metadata, only=service)
        for key, input_ in inputs.items():
            unit = proxy.outbounds[key] = self._units.replace(proxy.outbounds[key], input_)
            proxy.put(unit, touched)

    def _update_layers(
        self, view: MeshView, delta: MeshDelta, touched: TouchedRecord
    ) -> list[tuple[Layer, tuple[Destination, ...]]]:
        """What virtual addresses there are, and their names; with the destinations that are new."""
        if not delta.vips.names:
            return []
        gained = []
        for layer in self._layers.of_mesh(view.name):
            gained.append((layer, layer.update(view, delta.vips.ports, touched)))
            layer.forget_names()
            for proxy in layer.members:
                self._refresh_names(view, proxy, layer, touched)
        return gained

    def _refresh_names(
        self, view: MeshView, proxy: Proxy, layer: Layer | None, touched: TouchedRecord
    ) -> None:
        inputs = {}
        if layer is not None:
            inputs = name_units(layer.sight, proxy.metadata, lambda: layer.names(view))
        proxy.names = proxy.hold(self._units, proxy.names, inputs, touched)

    def _refresh_direct(
        self, view: MeshView, delta: MeshDelta, replanned: set[Proxy], touched: TouchedRecord
    ) -> None:
        """Instances that workloads call at their own addresses."""
        proxies = self._direct.get(view.name)
        if not proxies:
            return
        changed: set[At] = {at for service in delta.facts for at in view.instances_of(service)}
        changed.update(delta.instances, delta.vips.ports)
        for proxy in proxies - replanned:
            if proxy.dataplane is None:
                continue
            dataplane = proxy.dataplane.spec
            if delta.settings:
                inputs = direct_listeners(view, dataplane, proxy.metadata)
                proxy.direct = proxy.hold(self._units, proxy.direct, inputs, touched)
            elif changed:
                inputs = direct_listeners(view, dataplane, proxy.metadata, changed)
                keys = {listener_key(at) for at in changed}
                held = {key: proxy.direct.pop(key) for key in keys & proxy.direct.keys()}
                proxy.direct.update(proxy.hold(self._units, held, inputs, touched))

    def _refresh_own(self, view: MeshView, proxy: Proxy, touched: TouchedRecord) -> None:
        """What permissions, mTLS and the identity of the proxy decide."""
        if proxy.dataplane is None:
            return
        self._want_identity(view, proxy, proxy.dataplane)
        inputs = sidecar.own_units(view, proxy.dataplane, proxy.metadata, self._permission, proxy.identity)
        proxy.own = proxy.hold(self._units, proxy.own, inputs, touched)

    def _replan(self, view: MeshView, proxy: Proxy, touched: TouchedRecord) -> None:
        """Everything of one proxy."""
        if proxy.dataplane is None:
            return
        self._want_identity(view, proxy, proxy.dataplane)
        plan = sidecar.plan(view, proxy.dataplane, proxy.metadata, self._permission, proxy.identity)
        self._carry_out(view, proxy, plan, touched)
        self._note_direct(proxy, active=bool(directly_accessed(proxy.dataplane.spec, proxy.metadata)))

    def _carry_out(self, view: MeshView, proxy: Proxy, plan: sidecar.Plan, touched: TouchedRecord) -> None:
        layer = None
        if plan.sight is not None:
            layer = self._layers.join(view, proxy, plan.sight, touched)
        proxy.own = proxy.hold(self._units, proxy.own, plan.own, touched)
        proxy.outbounds = proxy.hold(self._units, proxy.outbounds, plan.outbounds, touched)
        proxy.direct = proxy.hold(self._units, proxy.direct, plan.direct, touched)
        for destination in proxy.destinations - plan.destinations:
            self._shared.unsubscribe(view.name, destination, proxy).drop(proxy, touched)
        subscribed = [self._shared.subscribe(view, destination, proxy) for destination in plan.destinations]
        for shared in subscribed:
            shared.put(proxy, touched)
        # Equal to those of the plan, but shared by all proxies.
        proxy.destinations = frozenset(shared.destination for shared in subscribed)
        # Last, so that what it has of its own now hides what goes.
        if layer is None:
            self._layers.leave(proxy, touched)
        self._refresh_names(view, proxy, layer, touched)

    def _note_direct(self, proxy: Proxy, *, active: bool) -> None:
        proxies = self._direct.setdefault(proxy.key.mesh, set())
        (proxies.add if active else proxies.discard)(proxy)
        if not proxies:
            del self._direct[proxy.key.mesh]

    def _adopt_dataplane(self, view: MeshView, proxy: Proxy) -> None:
        """A proxy whose Dataplane is deleted while it is connected keeps what it has, but gets no certificate
        any more: traffic must not stop by a slip, nor trust go on. When it is back, one is issued anew."""
        proxy.dataplane = view.dataplane(proxy.key.name) if proxy.key.type == DATAPLANE else None
        if proxy.dataplane is None:
            proxy.wanted = proxy.issued = None
            self._layers.part(proxy)
            return
        layer = self._layers.of(proxy)
        if layer is not None and sight(proxy.dataplane.spec, proxy.metadata) != layer.sight:
            # Until it is planned anew, so that it is told of nothing that it will not have.
            self._layers.freeze(proxy)

    def _want_identity(self, view: MeshView, proxy: Proxy, dataplane: Resource) -> None:
        if view.settings.mode is None:
            proxy.issued = proxy.identity = None
        wanted = sidecar.identity_request(view, proxy.key, dataplane.spec)
        if wanted != proxy.wanted:
            proxy.wanted = wanted
            self._unmet[proxy] = None
