"""A proxy at the edge of a zone has a certificate for each mesh; each is made, tried again and withdrawn for
itself."""

from __future__ import annotations

from dataclasses import replace

from kumacp.dpserver.orders import Orders
from kumacp.dpserver.renewal import Order
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey

NOW = 1_800_000_000.0
EGRESS, OTHER = (ResourceKey("ZoneEgress", "", name) for name in ("egress-1", "egress-2"))


def request(mesh: str, proxy: ResourceKey = EGRESS) -> IdentityRequest:
    return IdentityRequest(proxy, mesh, "ca-1", ("zone-egress",), (), "1", 3600.0)


def placed(*requests: IdentityRequest) -> Orders:
    orders = Orders()
    for one in requests:
        orders.place(Order(one))
    return orders


def meshes(orders: Orders) -> list[tuple[str, str]]:
    return sorted((order.request.proxy.name, order.request.mesh) for order in orders)


def test_every_mesh_has_its_own() -> None:
    orders = placed(request("one"), request("two"), request("one", OTHER))
    assert meshes(orders) == [("egress-1", "one"), ("egress-1", "two"), ("egress-2", "one")]
    assert [order.request.mesh for order in orders.due(NOW)] == ["one", "two", "one"]


def test_the_last_one_for_a_mesh_stands() -> None:
    first, second = Order(request("one")), Order(replace(request("one"), ca_version="2"))
    orders = placed(request("two"))
    orders.place(first)
    assert orders.stands(first)
    orders.place(second)
    assert not orders.stands(first)
    assert orders.stands(second)


def test_the_next_moment_is_that_of_the_earliest() -> None:
    assert Orders().next_at(NOW) is None
    orders = Orders()
    later = Order(request("one")).failed(NOW).failed(NOW)
    orders.place(later)
    orders.place(Order(request("two")).failed(NOW))
    assert orders.next_at(NOW) == NOW + 5
    assert orders.due(NOW + 5) == [order for order in orders if order.request.mesh == "two"]
    orders.place(Order(request("three")))
    assert orders.next_at(NOW) == NOW


def test_what_failed_in_a_mesh_is_tried_again_there_only() -> None:
    orders = Orders()
    for mesh in ("one", "two"):
        orders.place(Order(request(mesh)).failed(NOW))
        orders.place(Order(request(mesh, OTHER)).failed(NOW))
    orders.retry("one")
    assert {order.request for order in orders.due(NOW)} == {request("one"), request("one", OTHER)}


def test_a_retry_leaves_what_did_not_fail() -> None:
    order = Order(request("one"), moment=NOW + 60)
    orders = Orders()
    orders.place(order)
    orders.retry("one")
    assert orders.stands(order)


def test_a_mesh_that_goes_takes_those_of_all_proxies_with_it() -> None:
    orders = placed(request("one"), request("two"), request("one", OTHER))
    assert set(orders.withdraw("one")) == {request("one"), request("one", OTHER)}
    assert meshes(orders) == [("egress-1", "two")]
    assert orders.withdraw("one") == ()


def test_a_proxy_that_goes_takes_those_of_all_meshes_with_it() -> None:
    orders = placed(request("one"), request("two"), request("one", OTHER))
    orders.forget(EGRESS)
    assert meshes(orders) == [("egress-2", "one")]
    orders.drop(request("one", OTHER))
    orders.drop(request("one", OTHER))
    assert meshes(orders) == []
