"""Whether, where and how surely names are answered, and which options change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from kumadp import name_serving
from kumadp.name_serving import NameServing
from kumadp.proxy_resource import ProxyResource, parse_resource
from kumadp.settings import DpSettings
from kumamesh.errors import UserError
from kumamesh.settings import Resolved, resolve
from kumamesh.transparent_proxy.config import DEFAULT, Config

BOTH = ("127.0.0.1", "::1")


def resolved(**flags: Any) -> Resolved[DpSettings]:
    return resolve(DpSettings, flags=flags)


def serving(
    transparent: Config | None = None,
    resource: ProxyResource | None = None,
    *,
    ipv6: bool = True,
    **flags: Any,
) -> NameServing | None:
    return name_serving.name_serving(resolved(**flags), resource, transparent, ipv6=ipv6)


def redirected_dataplane() -> ProxyResource:
    networking = "{address: 10.0.0.1, transparentProxying: {redirectPortOutbound: 15001}}"
    return parse_resource(
        f"{{type: Dataplane, name: web-1, networking: {networking}}}", "dataplane", "dp.yaml"
    )


def test_without_redirection_a_taken_port_is_replaced_and_nobody_waits() -> None:
    assert serving() == NameServing(BOTH, 15_053, exact=False, redirected=False, awaited=False)


def test_names_are_awaited_where_they_are_used() -> None:
    assert serving(bind_outbounds=True) == NameServing(
        BOTH, 15_053, exact=False, redirected=False, awaited=True
    )
    expected = NameServing(BOTH, 15_053, exact=True, redirected=True, awaited=True)
    assert serving(DEFAULT) == expected
    assert serving(resource=redirected_dataplane()) == expected
    # Which services it reaches is said in the same place as what is redirected.
    assert serving(resource=redirected_dataplane(), bind_outbounds=True) == serving(bind_outbounds=True)
    without_traffic = Config(inbound_enabled=False, outbound_enabled=False)
    assert serving(without_traffic) == NameServing(BOTH, 15_053, exact=True, redirected=True, awaited=False)


@pytest.mark.parametrize(
    "flags", [{"dns_enabled": False}, {"proxy_type": "ingress"}, {"proxy_type": "egress"}]
)
def test_no_names_are_answered(flags: dict[str, Any]) -> None:
    assert serving(DEFAULT, bind_outbounds=True, **flags) is None


@pytest.mark.parametrize(
    ("flags", "transparent", "port", "exact"),
    [
        ({"dns_proxy_port": 5_353}, None, 5_353, True),
        ({"dns_proxy_port": 15_053}, None, 15_053, True),
        ({"dns_coredns_port": 5_354}, None, 5_354, True),
        ({"dns_proxy_port": 5_353, "dns_coredns_port": 5_354}, None, 5_353, True),
        ({"dns_proxy_port": 0}, None, 15_053, False),
        ({"dns_proxy_port": 0, "dns_coredns_port": 5_354}, None, 5_354, True),
        ({}, Config(dns_port=5_355), 5_355, True),
        ({"dns_proxy_port": 5_353}, Config(dns_port=5_355), 5_353, True),
    ],
)
def test_the_port(flags: dict[str, Any], transparent: Config | None, port: int, exact: bool) -> None:
    found = serving(transparent, **flags)
    assert found
    assert (found.port, found.exact) == (port, exact)


@pytest.mark.parametrize(
    ("transparent", "options", "addresses"),
    [
        (None, {"ipv6": False}, ("127.0.0.1",)),
        (None, {"ipv6_enabled": False}, ("127.0.0.1",)),
        (Config(ip_family_mode="ipv4"), {}, ("127.0.0.1",)),
        (Config(vnet_networks=("docker0:172.17.0.0/16",)), {}, ("0.0.0.0", "::")),
        (Config(vnet_networks=("docker0:172.17.0.0/16",)), {"ipv6": False}, ("0.0.0.0",)),
        (DEFAULT, {"dns_address": ("10.0.0.1",)}, ("10.0.0.1",)),
        (None, {"dns_address": ("10.0.0.1", "::0:1", "10.0.0.1", "::1")}, ("10.0.0.1", "::1")),
        (None, {"dns_address": ("10.0.0.1", "0.0.0.0", "::1")}, ("0.0.0.0", "::1")),
        (None, {"dns_address": ("::1", "::", "10.0.0.1")}, ("::", "10.0.0.1")),
    ],
)
def test_addresses_are_local_ones_unless_more_is_asked_for(
    transparent: Config | None, options: dict[str, Any], addresses: tuple[str, ...]
) -> None:
    found = serving(transparent, **options)
    assert found
    assert found.addresses == addresses


def test_settings_of_the_transparent_proxy_come_from_flag_or_files() -> None:
    documents = [("a", "redirect: {inbound: {port: 1234}}"), ("b", "ipFamilyMode: ipv4")]
    assert name_serving.transparent_proxy(DpSettings(), []) is None
    assert name_serving.transparent_proxy(DpSettings(transparent_proxy=True), []) == DEFAULT
    found = name_serving.transparent_proxy(DpSettings(), documents)
    assert found == Config(inbound_port=1234, ip_family_mode="ipv4")
    ingress = DpSettings(proxy_type="ingress", transparent_proxy=True)
    assert name_serving.transparent_proxy(ingress, documents) is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"bind_outbounds": True, "transparent_proxy": True}, "--bind-outbounds cannot be given together"),
        ({"bind_outbounds": True, "transparent_proxy_config": ("f",)}, "choose one"),
        (
            {"resource_file": "-", "transparent_proxy_config": ("a", "-")},
            "standard input can be read only once",
        ),
        ({"transparent_proxy_config": ("-", "-")}, "standard input can be read only once"),
        ({"dns_proxy_port": 70_000}, "--dns-proxy-port .* between 0 and 65535"),
        ({"dns_coredns_port": 0}, "--dns-coredns-port .* between 1 and 65535"),
        ({"dns_envoy_port": 0}, "--dns-envoy-port .* between 1 and 65535"),
        ({"dns_prometheus_port": -1}, "--dns-prometheus-port .* between 0 and 65535"),
        ({"dns_address": ("127.0.0.1", "localhost")}, "'localhost' is not an IP address"),
        ({"dns_address": ("fe80::1%eth0",)}, "has a scope"),
        ({"dns_address": ("224.0.0.1",)}, "stands for many hosts"),
        ({"dns_address": ("255.255.255.255",)}, "stands for many hosts"),
        ({"transparent_proxy_config": ()}, "--transparent-proxy-config names no file"),
        (
            {"dns_proxy_port": 5_353, "dns_prometheus_port": 5_353},
            r"--dns-proxy-port .* and --dns-prometheus-port .* are both 5353",
        ),
        ({"dns_prometheus_port": 9_902, "readiness_port": 9_902}, "and KUMA_READINESS_PORT are both 9902"),
    ],
)
def test_unusable_values_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        name_serving.check(resolved(**flags))
    assert caught.value.exit_code == 2


def test_values_of_a_name_server_that_is_off_are_not_judged() -> None:
    name_serving.check(resolved(dns_enabled=False, dns_proxy_port=70_000))
    name_serving.check(resolved(resource_file="-", transparent_proxy=True))


def test_ports_that_nobody_chose_move_out_of_the_way() -> None:
    name_serving.check(resolved(dns_prometheus_port=15_053))
    name_serving.check(resolved(readiness_port=19_153))
    name_serving.check(resolved(dns_proxy_port=9_902))


def test_options_without_effect_are_told() -> None:
    assert name_serving.warnings(resolved()) == ()
    assert name_serving.warnings(resolved(dns_enable_logging=False)) == ()
    told = name_serving.warnings(
        resolved(
            dns_coredns_path="coredns",
            dns_coredns_template="Corefile",
            dns_config_dir="/tmp/d",
            dns_enable_logging=True,
            dns_proxy_port=0,
        )
    )
    assert len(told) == 5
    assert all("changes nothing: " in line for line in told[:4])
    assert "names are answered all the same, on port 15053" in told[4]


def test_a_zone_proxy_is_told_that_it_has_no_outbounds() -> None:
    told = name_serving.warnings(resolved(proxy_type="ingress", transparent_proxy=True, bind_outbounds=True))
    assert [line.split(" ")[0] for line in told] == ["--transparent-proxy", "--bind-outbounds"]


def test_where_connections_are_redirected_to() -> None:
    assert name_serving.redirect_ports(None, DEFAULT) == (15_001, 15_006)
    assert name_serving.redirect_ports(None, Config(inbound_enabled=False)) == (15_001,)
    assert name_serving.redirect_ports(None, Config(outbound_enabled=False)) == (15_006,)
    assert name_serving.redirect_ports(redirected_dataplane(), Config(inbound_port=1)) == (15_001, 1)
    assert name_serving.redirect_ports(redirected_dataplane(), None) == (15_001,)
    assert name_serving.redirect_ports(None, None) == ()


@pytest.mark.parametrize("proxying", ["7", "{redirectPortOutbound: x}", "{redirectPortInbound: 70000}", "[]"])
def test_what_the_control_plane_will_not_take_holds_no_port(proxying: str) -> None:
    text = f"{{type: Dataplane, name: web-1, networking: {{transparentProxying: {proxying}}}}}"
    assert name_serving.redirect_ports(parse_resource(text, "dataplane", "dp.yaml"), None) == ()
