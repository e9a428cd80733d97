"""Names and ports of virtual addresses (contract 6.1, kuma-cp 4.2)."""

from __future__ import annotations

import dataclasses
from itertools import product

import pytest

from kumacp.settings import CpSettings
from kumacp.vips.entry import Kind, VipEntry, VipOutbound
from kumacp.vips.names import (
    VipSettings,
    collisions,
    config_name,
    destinations,
    hostnames,
    ipv6_of,
    mesh_of,
    owners,
)
from kumacp.vips.settings import vip_settings
from kumamesh.errors import UserError

SETTINGS = VipSettings()
A, B = (("kuma.io/service", "a"),), (("kuma.io/service", "b"),)


def entry(kind: Kind, name: str, *ports: int, address: str = "240.0.0.7") -> VipEntry:
    origin = ("service", "external-service:es", "virtual-outbound:vo")[kind]
    return VipEntry(kind, name, address, tuple(VipOutbound(port, A, origin) for port in ports or (0,)))


def told(*entries: VipEntry) -> list[str]:
    return [line for _, line in collisions(entries, "mesh")]


@pytest.mark.parametrize(
    ("kind", "name", "expected"),
    [
        (Kind.SERVICE, "backend", ("backend.mesh",)),
        (
            Kind.SERVICE,
            "echo-server_echo-example_svc_1010",
            ("echo-server_echo-example_svc_1010.mesh", "echo-server.echo-example.svc.1010.mesh"),
        ),
        (Kind.HOST, "httpbin.org", ("httpbin.org",)),
        (Kind.HOST, "192.168.0.1", ()),
        (Kind.HOST, "fd00::1", ()),
        (Kind.FQDN, "a.b.c", ("a.b.c",)),
        (Kind.FQDN, "no name", ()),
    ],
)
def test_an_entry_has_the_names_of_its_kind(kind: Kind, name: str, expected: tuple[str, ...]) -> None:
    assert hostnames(entry(kind, name), "mesh") == expected


def test_the_domain_is_the_operators() -> None:
    assert hostnames(entry(Kind.SERVICE, "a_b"), "corp.example") == ("a_b.corp.example", "a.b.corp.example")


@pytest.mark.parametrize(
    ("given", "port", "expected"),
    [
        (entry(Kind.SERVICE, "a"), 80, [80]),
        (entry(Kind.SERVICE, "a", 0, 443), 80, [443, 80]),
        (entry(Kind.SERVICE, "a", 80), 80, [80]),
        (entry(Kind.SERVICE, "a"), 0, []),
        (entry(Kind.SERVICE, "a", 443), 8080, [443, 8080]),
        (entry(Kind.HOST, "h.example", 443), 80, [443, 80]),
        (entry(Kind.HOST, "h.example", 80, 443), 80, [80, 443]),
        (entry(Kind.HOST, "192.168.0.1", 443), 80, [443]),
        (entry(Kind.FQDN, "f.example", 8080, 9090), 80, [8080, 9090]),
    ],
)
def test_an_address_has_the_declared_ports_and_the_common_one(
    given: VipEntry, port: int, expected: list[int]
) -> None:
    found = destinations(given, VipSettings(port=port))
    assert [number for number, _ in found] == expected
    assert all(tags == A for _, tags in found)


def test_of_equal_ports_the_first_counts() -> None:
    outbounds = (VipOutbound(80, A, "x"), VipOutbound(80, B, "y"))
    assert destinations(VipEntry(Kind.FQDN, "f", "240.0.0.1", outbounds), SETTINGS) == ((80, A),)


def test_of_several_claims_the_last_by_kind_and_name_wins_and_is_told() -> None:
    underscores, dots = entry(Kind.SERVICE, "a_b"), entry(Kind.SERVICE, "a.b")
    assert owners([underscores, dots], "mesh") == {"a_b.mesh": underscores, "a.b.mesh": underscores}
    assert told(dots, underscores) == [
        "the name a.b.mesh leads to the service a_b, and no more to the service a.b; rename all but one"
    ]
    virtual = entry(Kind.FQDN, "A.b.mesh", 80)
    assert owners([virtual, dots], "mesh") == {"a.b.mesh": virtual}
    assert "leads to the VirtualOutbound vo, and no more to" in told(virtual, dots)[0]
    external = entry(Kind.HOST, "a.b.mesh", 80)
    assert owners([external, dots], "mesh")["a.b.mesh"] is external
    assert told(dots, entry(Kind.SERVICE, "c_d")) == []
    many = told(
        *(entry(Kind.SERVICE, f"a{mark}b{other}c{last}d") for mark, other, last in product("_.", repeat=3))
    )
    assert "and 2 others; rename" in many[0]


@pytest.mark.parametrize(
    "name", ["a:b", ".", "..", "a..b", ".a", "a.", "x" * 64, "x." * 125 + "x", "a b", "a/b", "\u00fc", "*"]
)
def test_a_service_that_nobody_can_ask_for_has_no_name_and_that_is_told(name: str) -> None:
    unspeakable = entry(Kind.SERVICE, name)
    assert hostnames(unspeakable, "mesh") == ()
    assert owners([unspeakable], "mesh") == {}
    (line,) = told(unspeakable)
    assert line.startswith(f"the service {name} has no name, because {name}.mesh is none")


def test_a_name_whose_second_form_is_none_has_the_first() -> None:
    assert hostnames(entry(Kind.SERVICE, "_a__b_"), "mesh") == ("_a__b_.mesh",)
    assert told(entry(Kind.SERVICE, "_a__b_")) == []


def test_a_host_that_is_the_virtual_address_of_something_else_is_told() -> None:
    host = entry(Kind.HOST, "240.0.0.7", 443)
    (line,) = told(host, entry(Kind.SERVICE, "a"))
    assert line == (
        "240.0.0.7, the host of the ExternalService es, is the virtual address of the service a;"
        " choose another KUMA_DNS_SERVER_CIDR"
    )
    assert told(host, entry(Kind.SERVICE, "a", address="240.0.0.8")) == []


def test_ipv6_is_the_mapped_form_or_the_same_place_in_a_range_of_its_own() -> None:
    assert ipv6_of("240.0.0.1", SETTINGS) == "::ffff:f000:1"
    assert ipv6_of("240.0.0.0", SETTINGS) == "::ffff:f000:0"
    assert ipv6_of("fd00::1", SETTINGS) == "fd00::1"
    ranged = VipSettings(cidr="240.0.0.0/4", ipv6_cidr="fd00:fd00::/64")
    assert ipv6_of("240.0.0.0", ranged) == "fd00:fd00::"
    assert ipv6_of("240.1.0.2", ranged) == "fd00:fd00::1:2"
    assert ipv6_of("10.0.0.1", ranged) == "::ffff:a00:1"


def test_a_config_is_named_after_its_mesh() -> None:
    assert config_name("default") == "kuma-default-dns-vips"
    assert mesh_of("kuma-default-dns-vips") == "default"
    assert mesh_of("kuma-a-dns-vips-dns-vips") == "a-dns-vips"
    for other in ("kuma-cluster-id", "kuma--dns-vips", "x-kuma-a-dns-vips", "kuma-dns-vips"):
        assert mesh_of(other) is None


def test_the_settings_are_kumas() -> None:
    assert vip_settings(CpSettings()) == SETTINGS
    given = dataclasses.replace(CpSettings(), dns_cidr="10.8.1.2/13", dns_ipv6_cidr="fd00:1::5/108")
    assert vip_settings(given) == VipSettings(cidr="10.8.0.0/13", ipv6_cidr="fd00:1::/108")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dns_cidr": "240.0.0.0/29"}, "CIDR=240.0.0.0/29 has room for 8 names; use /28 or a wider range"),
        ({"dns_cidr": "nonsense"}, "CIDR=nonsense is no range of addresses; use one such as 240.0.0.0/4"),
        ({"dns_cidr": "fd00::/64"}, "KUMA_DNS_SERVER_IPV6_CIDR"),
        ({"dns_ipv6_cidr": "10.0.0.0/8"}, "must be a range of IPv6"),
        ({"dns_ipv6_cidr": "fd00::/101"}, "smaller than 240.0.0.0/4; use /100 or a wider range"),
        ({"dns_domain": ".mesh"}, "DOMAIN=.mesh is no domain"),
        ({"dns_domain": ""}, "is no domain"),
        ({"dns_domain": "10.0.0.1"}, "is no domain"),
        ({"dns_service_vip_port": 65536}, "SERVICE_VIP_PORT=65536 is no port"),
        ({"vip_refresh_interval": -1.0}, "REFRESH_INTERVAL must not be negative"),
        ({"dns_deletion_grace_period": -1.0}, "GRACE_PERIOD must not be negative"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_in_one_line(changes: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("(", r"\(")) as caught:
        vip_settings(dataclasses.replace(CpSettings(), **changes))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
