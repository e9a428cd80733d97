"""Kuma's rules of ZoneIngress and ZoneEgress, and both shapes of Zone (kuma-cp 0.2 C1, 2.2 to 2.4)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.rest import from_rest
from resource_documents import violations

PORT = "port must be in the range [1, 65535]"


def ingress(networking: dict[str, Any], *services: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "ZoneIngress",
        "name": "ingress",
        "networking": networking,
        "availableServices": list(services),
    }


def egress(**networking: Any) -> dict[str, Any]:
    return {"type": "ZoneEgress", "name": "egress", "networking": networking}


@pytest.mark.parametrize(
    "body",
    [
        ingress({"port": 10001}),
        ingress(
            {
                "address": "192.168.0.1",
                "advertisedAddress": "public.example.com",
                "port": 10001,
                "advertisedPort": 443,
                "admin": {"port": 9901},
            },
            {"tags": {"kuma.io/service": "a"}, "instances": 2, "mesh": "default", "externalService": True},
        ),
        egress(address="127.0.0.1", port=10002, admin={"port": 9902}),
    ],
)
def test_valid_zone_proxies_pass(body: dict[str, Any]) -> None:
    assert from_rest(body).mesh == ""


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"type": "ZoneIngress", "name": "i"}, [("networking.port", PORT)]),
        (
            ingress({"port": 1, "advertisedPort": 2}),
            [("networking.advertisedAddress", "has to be defined with advertisedPort")],
        ),
        (
            ingress({"port": 1, "advertisedAddress": "1.2.3.4"}),
            [("networking.advertisedPort", "has to be defined with advertisedAddress")],
        ),
        (
            ingress(
                {"port": 70000, "address": "0.0.0.0", "advertisedAddress": "!@", "advertisedPort": 70000}
            ),
            [
                ("networking.address", "must not be 0.0.0.0 or ::"),
                ("networking.advertisedAddress", "address has to be valid IP address or domain name"),
                ("networking.port", PORT),
                ("networking.advertisedPort", PORT),
            ],
        ),
        (
            ingress({"port": 9901, "admin": {"port": 9901}}),
            [("networking.admin.port", "must differ from port")],
        ),
        (
            ingress({"port": 1}, {"tags": {"version": "!"}}),
            [
                (
                    'availableServices[0].tags["version"]',
                    "tag value must consist of alphanumeric characters, dots, dashes and underscores",
                ),
                ("availableServices[0].tags", 'mandatory tag "kuma.io/service" is missing'),
            ],
        ),
        (
            egress(address="::", admin={"port": 70000}),
            [
                ("networking.admin.port", PORT),
                ("networking.address", "must not be 0.0.0.0 or ::"),
                ("networking.port", PORT),
            ],
        ),
        (
            egress(port=1, advertisedPort=2),
            [("networking.advertisedPort", "unknown field; known here: address, admin, port")],
        ),
    ],
)
def test_every_broken_rule_is_told(body: dict[str, Any], expected: list[tuple[str, str]]) -> None:
    assert violations(body) == expected


@pytest.mark.parametrize(
    ("body", "enabled"),
    [({}, None), ({"enabled": False}, False), ({"spec": {"enabled": False}}, False), ({"spec": None}, None)],
)
def test_a_zone_may_be_flat_or_have_a_spec(body: dict[str, Any], enabled: bool | None) -> None:
    assert from_rest({"type": "Zone", "name": "zone-1", **body}).spec.enabled is enabled


def test_an_ingress_is_public_with_both_advertised_address_and_port() -> None:
    public = {"port": 1, "advertisedAddress": "1.2.3.4", "advertisedPort": 2}
    assert from_rest(ingress(public)).spec.has_public_address
    assert not from_rest(ingress({"port": 1})).spec.has_public_address
