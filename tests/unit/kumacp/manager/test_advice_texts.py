"""What the control plane says of a resource besides its form: every text (kuma-cp 2.1, 2.5)."""

from __future__ import annotations

from typing import Any

import pytest

from kumacp.manager import advice, membership
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest
from resource_documents import dataplane, document

SERVICE = {"kuma.io/service": "backend"}
MTLS = {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin"}]}


def mesh(**body: Any) -> Resource:
    return from_rest({"type": "Mesh", "name": "default", **body})


@pytest.mark.parametrize(
    ("name", "warned"), [("web-1.demo", False), ("0", False), ("web_1", True), ("-web", True), ("a..b", True)]
)
def test_names_of_the_old_form(name: str, warned: bool) -> None:
    text = (
        f"name: {name!r} is of the old form; use lower-case letters, digits, '-' and '.', with a letter"
        " or digit at both ends of every part"
    )
    assert list(advice.name_warnings(name)) == ([text] if warned else [])


@pytest.mark.parametrize(
    ("inbound", "warnings"),
    [
        ({"port": 80, "tags": SERVICE}, []),
        ({"port": 80, "tags": SERVICE | {"kuma.io/zone": "east"}}, []),
        (
            {"port": 80, "tags": SERVICE, "health": {"ready": True}},
            ["networking.inbound[0].health: is deprecated, use state: Ready, NotReady or Ignored"],
        ),
        (
            {"port": 80, "tags": SERVICE | {"kuma.io/zone": "west"}},
            ["networking.inbound[0].tags: kuma.io/zone 'west' was replaced by this zone, 'east'"],
        ),
    ],
)
def test_data_planes(inbound: dict[str, Any], warnings: list[str]) -> None:
    given = from_rest(dataplane(inbound=[inbound])).spec
    assert list(advice.dataplane_warnings(given, "east")) == warnings


@pytest.mark.parametrize(
    ("body", "permitted", "warnings"),
    [
        ({}, False, []),
        ({"mtls": MTLS}, True, []),
        (
            {"mtls": MTLS},
            False,
            [
                "mtls: every request in mesh 'default' is denied until it has a TrafficPermission or a"
                " MeshTrafficPermission"
            ],
        ),
        (
            {"mtls": MTLS | {"skipValidation": True}},
            True,
            ["mtls.skipValidation: requests may fail while proxies of two authorities meet"],
        ),
        (
            {"metrics": {}, "logging": {}, "tracing": {}},
            False,
            [
                f"{field}: is stored, but has no effect in this version"
                for field in ("metrics", "logging", "tracing")
            ],
        ),
    ],
)
def test_meshes(body: dict[str, Any], permitted: bool, warnings: list[str]) -> None:
    one = advice.Zones(frozenset({"east"}))
    assert list(advice.mesh_warnings(mesh(**body), permitted, one)) == warnings


@pytest.mark.parametrize(
    ("body", "zones", "warnings"),
    [
        ({}, ["a"], []),
        (
            {},
            ["a", "b"],
            ["mtls: services of other zones cannot be reached in mesh 'default' while mTLS is off"],
        ),
        ({"mtls": MTLS}, ["a", "b"], []),
        ({"mtls": MTLS, "routing": {"zoneEgress": True}}, ["with-egress"], []),
        (
            {"mtls": MTLS, "routing": {"zoneEgress": True}},
            ["b", "a", "with-egress"],
            [
                "routing.zoneEgress: without a ZoneEgress a zone reaches neither other zones nor external"
                " services; there is none in a, b"
            ],
        ),
    ],
)
def test_meshes_of_several_zones(body: dict[str, Any], zones: list[str], warnings: list[str]) -> None:
    known = advice.Zones(frozenset(zones), frozenset({"with-egress", "gone"}))
    assert list(advice.mesh_warnings(mesh(**body), True, known)) == warnings


def test_a_long_list_of_zones_is_cut() -> None:
    known = advice.Zones(frozenset(f"zone-{number}" for number in range(9)))
    given = mesh(mtls=MTLS, routing={"zoneEgress": True})
    (warning,) = advice.mesh_warnings(given, True, known)
    assert warning.endswith("zone-0, zone-1, zone-2, zone-3, zone-4 and 4 more")


def test_permissions_without_mtls() -> None:
    text = "mesh 'default' has no mTLS, so that permissions have no effect in it"
    assert list(advice.permission_warnings(mesh())) == [text]
    assert list(advice.permission_warnings(mesh(mtls=MTLS))) == []


def test_who_may_not_join() -> None:
    rules = {
        "requirements": [{"tags": {"team": "a"}}],
        "restrictions": [{"tags": {"env": "*", "team": "b"}}],
    }
    closed = mesh(constraints={"dataplaneProxy": rules}).spec
    inbound = [
        {"port": 1, "tags": SERVICE | {"team": "a"}},
        {"port": 2, "tags": SERVICE | {"team": "b", "env": "test"}},
    ]
    found = membership.violations("default", closed, from_rest(dataplane(inbound=inbound)).spec)
    assert [(violation.field, violation.message) for violation in found] == [
        (
            "networking.inbound[1].tags",
            'mesh "default" admits only proxies that match one of its requirements',
        ),
        ("networking.inbound[1].tags", 'mesh "default" refuses proxies tagged env=*, team=b'),
    ]
    gateway = document("Dataplane", networking={"address": "10.0.0.1", "gateway": {"tags": SERVICE}})
    (violation,) = membership.violations("default", closed, from_rest(gateway).spec)
    assert violation.field == "networking.gateway.tags"
