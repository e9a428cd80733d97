"""Who may call an inbound, or a service outside the mesh, from both kinds of permission (contract 5.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

from kumacp.policy.mesh_traffic_permission import MeshTrafficPermissions
from kumacp.policy.traffic_permission import TrafficPermissions
from kumacp.xds.model import PrincipalRbac, Rbac
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound


class PermissionIndex:
    """The permissions of one mesh, made once per change of them and asked for every inbound of its proxies,
    and for every service outside.

    Inbounds for which the same policies decide share one Rbac.
    """

    def __init__(
        self,
        mesh: str,
        traffic_permissions: Iterable[Resource],
        mesh_traffic_permissions: Iterable[Resource],
    ) -> None:
        self._legacy = TrafficPermissions(mesh, traffic_permissions)
        self._current = MeshTrafficPermissions(mesh, mesh_traffic_permissions)
        self._made: dict[tuple[tuple[str, ...], bool], Rbac] = {}
        self._made_legacy: dict[str, Rbac] = {}

    def inbound_rbac(self, dataplane: Resource, inbound: Inbound, *, http: bool) -> Rbac:
        """MeshTrafficPermissions that select the inbound decide alone; without any, the TrafficPermission;
        without that, everything is denied. `http`: the inbound is taken apart into HTTP requests."""
        return self._rbac(self._current.selecting(dataplane, inbound), inbound.tags, http=http)

    def outside_rbac(self, tags: Mapping[str, str], zone: str, *, http: bool) -> Rbac:
        """By the same rules: who may call a service outside the mesh that has the tags."""
        return self._rbac(self._current.selecting_outside(tags, zone), tags, http=http)

    def _rbac(self, selecting: tuple[Resource, ...], tags: Mapping[str, str], *, http: bool) -> Rbac:
        if selecting:
            key = tuple(policy.name for policy in selecting), http
            if key not in self._made:
                self._made[key] = self._current.rbac(selecting, http=http)
            return self._made[key]
        winner = self._legacy.winner(tags)
        if winner is None:
            return PrincipalRbac(allow=(), http=http)
        if winner.name not in self._made_legacy:
            # Not HTTP: a connection that a TrafficPermission does not allow is closed, as in Kuma.
            self._made_legacy[winner.name] = PrincipalRbac(allow=(self._legacy.policy(winner),))
        return self._made_legacy[winner.name]


def inbound_rbac(
    mesh: str,
    dataplane: Resource,
    inbound: Inbound,
    *,
    traffic_permissions: Sequence[Resource],
    mesh_traffic_permissions: Sequence[Resource],
    http: bool,
) -> Rbac:
    """PermissionIndex for who does not keep one; asked with the same tuples again, it is not made again."""
    index = _index(mesh, _Same(traffic_permissions), _Same(mesh_traffic_permissions))
    return index.inbound_rbac(dataplane, inbound, http=http)


def outside_rbac(
    mesh: str,
    tags: Mapping[str, str],
    zone: str,
    *,
    traffic_permissions: Sequence[Resource],
    mesh_traffic_permissions: Sequence[Resource],
    http: bool,
) -> Rbac:
    """As `inbound_rbac`, for a service outside the mesh that the egresses of the zone lead to."""
    index = _index(mesh, _Same(traffic_permissions), _Same(mesh_traffic_permissions))
    return index.outside_rbac(tags, zone, http=http)


class _Same:
    """Key of a cache by identity: to compare the permissions of a mesh would cost more than to index them.
    Holds what it stands for, so that the identity is not given to another; a list is copied, as it may
    change."""

    __slots__ = ("value",)

    def __init__(self, value: Sequence[Resource]) -> None:
        self.value = value if isinstance(value, tuple) else tuple(value)

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


@lru_cache(maxsize=128)
def _index(mesh: str, traffic_permissions: _Same, mesh_traffic_permissions: _Same) -> PermissionIndex:
    return PermissionIndex(mesh, traffic_permissions.value, mesh_traffic_permissions.value)
