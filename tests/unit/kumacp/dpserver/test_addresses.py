"""DNS names as addresses of proxies."""

from __future__ import annotations

from dataclasses import replace

import pytest

import hub_world as world
from kumacp.dpserver.addresses import names_in, resolved
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking
from kumamesh.resources.secret import Secret


def _dataplane(address: str, advertised: str = "") -> Resource:
    inbound = (Inbound(port=80, tags={"kuma.io/service": "web"}),)
    networking = Networking(address=address, advertised_address=advertised, inbound=inbound)
    return Resource(ResourceKey("Dataplane", "default", "web-1"), Dataplane(networking=networking), version=3)


@pytest.mark.parametrize(
    ("address", "advertised", "names"),
    [
        ("10.0.0.1", "", set()),
        ("::1", "192.0.2.1", set()),
        ("web.example", "", {"web.example"}),
        ("10.0.0.1", "public.example", {"public.example"}),
        ("a.example", "b.example", {"a.example", "b.example"}),
    ],
)
def test_names_that_must_be_resolved(address: str, advertised: str, names: set[str]) -> None:
    assert names_in(_dataplane(address, advertised)) == names


def test_other_resources_have_none() -> None:
    assert names_in(None) == set()
    assert names_in(Resource(ResourceKey("Secret", "default", "x"), Secret(data=b""))) == set()


def test_known_names_are_replaced_and_the_rest_stays() -> None:
    placed = resolved(
        _dataplane("a.example", "b.example"), {"a.example": "10.0.0.1", "b.example": "10.0.0.2"}
    )
    assert placed is not None
    networking = placed.spec.networking
    assert (networking.address, networking.advertised_address) == ("10.0.0.1", "10.0.0.2")
    assert (networking.inbound[0].service, placed.version) == ("web", 3)


def test_a_proxy_with_an_unknown_name_is_not_there() -> None:
    assert resolved(_dataplane("a.example", "b.example"), {"a.example": "10.0.0.1"}) is None


def test_addresses_pass_as_they_are() -> None:
    dataplane = _dataplane("10.0.0.1")
    assert resolved(dataplane, {}) is dataplane


def _ingress(zone: str, address: str = "inside.example") -> Resource:
    ingress = world.zone_ingress("i1", world.available("a"), zone=zone, at=("public.example", 10001))
    networking = ingress.spec.networking.model_copy(update={"address": address})
    return replace(ingress, spec=ingress.spec.model_copy(update={"networking": networking}))


@pytest.mark.parametrize(
    ("resource", "names"),
    [
        (_ingress("west"), {"public.example"}),
        (_ingress("east"), {"inside.example"}),
        (_ingress("east", ""), set()),
        (world.zone_egress("e1", "inside.example", zone="east"), {"inside.example"}),
        (world.zone_egress("e1", "inside.example", zone="west"), set()),
    ],
)
def test_of_the_edges_only_names_count_that_this_zone_uses(resource: Resource, names: set[str]) -> None:
    assert names_in(resource, "east") == names


def test_an_ingress_of_another_zone_has_the_address_of_what_it_advertises() -> None:
    placed = resolved(_ingress("west"), {"public.example": "192.0.2.1"}, "east")
    assert placed is not None
    networking = placed.spec.networking
    assert (networking.address, networking.advertised_address) == ("inside.example", "192.0.2.1")


def test_an_ingress_of_another_zone_that_is_unknown_offers_nothing_and_is_still_of_that_zone() -> None:
    placed = resolved(_ingress("west"), {}, "east")
    assert placed is not None
    assert (placed.spec.has_public_address, placed.spec.zone) == (False, "west")


def test_the_zones_own_ingress_needs_the_address_that_it_listens_at_and_no_other() -> None:
    placed = resolved(_ingress("east"), {"inside.example": "10.0.0.9"}, "east")
    assert placed is not None
    networking = placed.spec.networking
    assert (networking.address, networking.advertised_address) == ("10.0.0.9", "public.example")
    assert resolved(_ingress("east"), {}, "east") is None
    assert resolved(world.zone_egress("e1", "inside.example"), {}, "east") is None
