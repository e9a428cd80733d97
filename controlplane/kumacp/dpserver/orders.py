"""The certificates that proxies should have: one for each mesh that a proxy belongs to, which for the proxies
at the edge of a zone are many."""

from __future__ import annotations

from collections.abc import Iterator

from kumacp.dpserver.renewal import Order
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey


class Orders:
    """Those that stand now; the last one for a proxy and mesh counts."""

    def __init__(self) -> None:
        self._by_proxy: dict[ResourceKey, dict[str, Order]] = {}

    def __iter__(self) -> Iterator[Order]:
        return (order for orders in self._by_proxy.values() for order in orders.values())

    def stands(self, order: Order) -> bool:
        """Whether nothing has taken its place, and nobody has withdrawn it."""
        return self._by_proxy.get(order.request.proxy, {}).get(order.request.mesh) is order

    def place(self, order: Order) -> None:
        self._by_proxy.setdefault(order.request.proxy, {})[order.request.mesh] = order

    def next_at(self, now: float) -> float | None:
        """`now` if one is due, None if there are none."""
        return min((now if order.due(now) else order.moment for order in self), default=None)

    def due(self, now: float) -> list[Order]:
        return [order for order in self if order.due(now)]

    def retry(self, mesh: str) -> None:
        """What failed in the mesh may succeed now."""
        for order in [order for order in self if order.request.mesh == mesh and order.failures]:
            self.place(order.at_once())

    def drop(self, request: IdentityRequest) -> None:
        orders = self._by_proxy.get(request.proxy, {})
        orders.pop(request.mesh, None)
        if not orders:
            self._by_proxy.pop(request.proxy, None)

    def forget(self, proxy: ResourceKey) -> None:
        self._by_proxy.pop(proxy, None)

    def withdraw(self, mesh: str) -> tuple[IdentityRequest, ...]:
        """Nobody of the mesh is to have one any more; what was asked for."""
        gone = tuple(order.request for order in self if order.request.mesh == mesh)
        for request in gone:
            self.drop(request)
        return gone
