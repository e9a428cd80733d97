from __future__ import annotations

from dataclasses import replace

import pytest

from kumacp.manager.labels import Place
from kumacp.manager.proxies import identity_violations, placed, registered_as_before
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Gateway, Inbound, Networking
from kumamesh.resources.zone import ZoneEgress, ZoneIngress

PLACE = Place("east", "universal")


def dataplane(**networking: object) -> Resource:
    return Resource(
        ResourceKey("Dataplane", "default", "web-1"),
        Dataplane(networking=Networking.model_validate(networking)),
    )


def test_dataplane_gets_zone_tag_and_labels() -> None:
    given = dataplane(
        inbound=(Inbound(port=80, tags={"a": "b"}), Inbound(port=81, tags={"kuma.io/zone": "west"}))
    )
    result = placed(given, PLACE)
    assert [inbound.tags for inbound in result.spec.networking.inbound] == [
        {"a": "b", "kuma.io/zone": "east"},
        {"kuma.io/zone": "east"},
    ]
    assert result.labels == {
        "kuma.io/display-name": "web-1",
        "kuma.io/env": "universal",
        "kuma.io/mesh": "default",
        "kuma.io/origin": "zone",
        "kuma.io/proxy-type": "sidecar",
        "kuma.io/zone": "east",
    }
    assert given.spec.networking.inbound[0].tags == {"a": "b"}
    assert hash(result.spec)


def test_gateway_is_tagged_and_labelled_as_one() -> None:
    result = placed(dataplane(gateway=Gateway(tags={"kuma.io/service": "gw"})), PLACE)
    assert result.spec.networking.gateway.tags == {"kuma.io/service": "gw", "kuma.io/zone": "east"}
    assert result.labels["kuma.io/proxy-type"] == "gateway"


@pytest.mark.parametrize(
    ("type_", "spec", "proxy_type"),
    [("ZoneIngress", ZoneIngress(zone="x"), "zoneingress"), ("ZoneEgress", ZoneEgress(), "zoneegress")],
)
def test_zone_proxies_get_the_zone_and_no_mesh(
    type_: str, spec: ZoneIngress | ZoneEgress, proxy_type: str
) -> None:
    result = placed(Resource(ResourceKey(type_, "", "z-1"), spec), PLACE)
    assert result.spec.zone == "east"
    assert (result.labels["kuma.io/proxy-type"], result.labels["kuma.io/zone"]) == (proxy_type, "east")
    assert "kuma.io/mesh" not in result.labels


def test_labels_of_the_user_stay() -> None:
    given = dataplane()
    labels = {"team": "a", "kuma.io/zone": "east", "kuma.io/managed-by": "kuma-dp"}
    result = placed(Resource(given.key, given.spec, labels), PLACE)
    assert labels.items() <= result.labels.items()


def test_other_zone_or_origin_is_refused_with_the_label() -> None:
    given = dataplane()
    labels = {"kuma.io/zone": "west", "kuma.io/origin": "global"}
    with pytest.raises(InvalidResource) as caught:
        placed(Resource(given.key, given.spec, labels), PLACE)
    assert {violation.field for violation in caught.value.violations} == {
        'labels["kuma.io/origin"]',
        'labels["kuma.io/zone"]',
    }


@pytest.mark.parametrize(
    ("old", "new", "kept"),
    [
        ({"kuma.io/managed-by": "kuma-dp"}, {"a": "b"}, {"a": "b", "kuma.io/managed-by": "kuma-dp"}),
        ({"kuma.io/managed-by": "somebody"}, {"a": "b"}, {"a": "b"}),
        ({}, {}, {}),
    ],
)
def test_an_edited_proxy_stays_what_its_connection_made(
    old: dict[str, str], new: dict[str, str], kept: dict[str, str]
) -> None:
    stored, given = (replace(dataplane(), labels=labels) for labels in (old, new))
    assert registered_as_before(stored, given).labels == kept


def test_no_workload_has_the_identity_of_the_zone_egress() -> None:
    taken = {"kuma.io/service": "zone-egress"}
    inbounds = (Inbound(port=80, tags={"kuma.io/service": "web"}), Inbound(port=81, tags=taken))
    found = identity_violations(dataplane(inbound=inbounds).spec)
    assert [each.field for each in found] == ['networking.inbound[1].tags["kuma.io/service"]']
    assert "'zone-egress' is the name that zone egresses have" in found[0].message
    gateway = identity_violations(dataplane(gateway=Gateway(tags=taken)).spec)
    assert [each.field for each in gateway] == ['networking.gateway.tags["kuma.io/service"]']
