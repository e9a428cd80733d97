"""All resources of a zone as its proxies see them, by mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kumacp.store.api import Change
from kumacp.vips.names import VipSettings, mesh_of
from kumacp.xds.mesh_view import NO_DELTA, MeshDelta, MeshView
from kumacp.xds.own_edges import EDGE_TYPES, OwnEdges
from kumacp.xds.pool import OutboundPool
from kumacp.xds.remote import Ingresses, is_remote
from kumamesh.resource import Resource, ResourceKey

__all__ = ["MeshDelta", "MeshView", "View", "mesh_of_key"]


class View:
    """All meshes of a zone."""

    def __init__(self, zone: str, vips: VipSettings | None = None) -> None:
        self._zone = zone
        self._vips = vips or VipSettings()
        self._pool = OutboundPool()
        self._edges = OwnEdges()
        self._elsewhere = Ingresses(zone)
        self._meshes: dict[str, MeshView] = {}

    @property
    def meshes(self) -> Iterable[MeshView]:
        """Those of which something is known."""
        return self._meshes.values()

    @property
    def ingresses(self) -> Mapping[str, Resource]:
        """The zone's own ones by name."""
        return self._edges.ingresses

    @property
    def egresses(self) -> Mapping[str, Resource]:
        """The zone's own ones by name."""
        return self._edges.egresses

    def edge(self, key: ResourceKey) -> Resource | None:
        """One of the zone's own."""
        return self._edges.of(key)

    def take_edges_changed(self) -> frozenset[ResourceKey]:
        """Ingresses and egresses of the zone that are new, others or gone; each is told once."""
        return self._edges.take_changed()

    def mesh(self, name: str) -> MeshView:
        """The mesh as it is; one that nothing is known of has no mTLS and no services."""
        return self._meshes.get(name) or self._new(name)

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
            elif key.type in EDGE_TYPES:
                concerned |= self._note_edge(key, change.new)
        return self._commit(concerned)

    def set_warming(self, proxy: ResourceKey, warming: bool) -> dict[str, MeshDelta]:
        """What it makes different that a proxy has yet to open its ports, or has opened them."""
        mesh = self._mesh(proxy.mesh)
        mesh.note_warming(proxy.name, warming)
        return self._commit({proxy.mesh: mesh})

    def _note_edge(self, key: ResourceKey, resource: Resource | None) -> dict[str, MeshView]:
        """The meshes that an ingress or egress concerns."""
        elsewhere = resource is not None and is_remote(resource.spec, self._zone)
        moved = self._edges.note(key, None if elsewhere else resource)
        concerned = dict(self._meshes) if moved else {}
        if key.type == "ZoneIngress":
            changed = self._elsewhere.note(key.name, resource.spec if resource else None)
            for (mesh, service), many in changed.items():
                concerned[mesh] = self._mesh(mesh)
                concerned[mesh].note_remote(key.name, service, many)
        return concerned

    def _mesh(self, name: str) -> MeshView:
        mesh = self._meshes.get(name)
        if mesh is None:
            mesh = self._meshes[name] = self._new(name)
        return mesh

    def _new(self, name: str) -> MeshView:
        return MeshView(name, self._zone, self._pool, self._vips, self._edges)

    def _commit(self, concerned: Mapping[str, MeshView]) -> dict[str, MeshDelta]:
        deltas = {name: mesh.commit() for name, mesh in concerned.items()}
        for name, mesh in concerned.items():
            if mesh.empty:
                del self._meshes[name]
        return {name: delta for name, delta in deltas.items() if delta != NO_DELTA}


def mesh_of_key(key: ResourceKey) -> str:
    """The mesh that a resource says something of; "" for one that is of no mesh."""
    if key.type == "Config":
        return mesh_of(key.name) or ""
    return key.name if key.type == "Mesh" else key.mesh
