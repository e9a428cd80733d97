"""The settings of transparent proxying: Kuma's keys, laid over each other, checked."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.errors import UserError
from kumamesh.settings import options
from kumamesh.transparent_proxy.config import DEFAULT, Config, executables, load, resolved
from kumamesh.transparent_proxy.exclusions import UidExclusion, uid_exclusion, virtual_network

ENV = "KUMA_TRANSPARENT_PROXY_REDIRECT_"
NO_FLAG = {
    "redirect.inbound.includePorts",
    "redirect.inbound.excludePortsForUIDs",
    "redirect.outbound.enabled",
    "redirect.outbound.includePorts",
    "redirect.dns.resolvConfigPath",
    "log.level",
    "cniMode",
    "ebpf.instanceIPEnvVarName",
}


def test_the_defaults_are_told_to_the_control_plane() -> None:
    assert DEFAULT == Config() == load([])
    assert DEFAULT.to_dataplane() == {
        "ipFamilyMode": "dualstack",
        "redirect": {
            "inbound": {"enabled": True, "port": 15006},
            "outbound": {"enabled": True, "port": 15001},
            "dns": {"enabled": False, "port": 15053},
        },
    }


def test_what_the_control_plane_is_told() -> None:
    text = """
    ipFamilyMode: ipv4
    redirect:
      inbound: {enabled: false, port: 1}
      outbound: {port: 2}
      dns: {captureAll: true, port: 3}
      vnet: {networks: ["br+:172.18.0.0/16"]}
    """
    assert load([("tp.yaml", text)]).to_dataplane() == {
        "ipFamilyMode": "ipv4",
        "redirect": {
            "inbound": {"enabled": False, "port": 1},
            "outbound": {"enabled": True, "port": 2},
            "dns": {"enabled": True, "port": 3},
            "vnet": {"networks": ["br+:172.18.0.0/16"]},
        },
    }


def test_later_files_are_laid_over_earlier_ones_key_by_key() -> None:
    base = '{"redirect": {"inbound": {"port": 1, "excludePorts": [22, 23]}, "dns": {"enabled": true}}}'
    custom = "redirect:\n  inbound:\n    excludePorts: [80]\n  dns: null\nretry:\n"
    config = load([("base", base), ("custom", custom), ("empty", "")])
    assert (config.inbound_port, config.inbound_exclude_ports, config.dns_enabled) == (1, (80,), True)


@pytest.mark.parametrize("ports", ["[22, 80]", "'22,80'", "['22', 80]", "['22,80']"])
def test_lists_have_several_forms(ports: str) -> None:
    assert load([("a", f"redirect: {{inbound: {{excludePorts: {ports}}}}}")]).inbound_exclude_ports == (
        22,
        80,
    )


def test_users_with_several_ports_are_one_entry() -> None:
    config = load([("a", "redirect: {outbound: {excludePortsForUIDs: ['53,3000-5000:106-108', '7']}}")])
    assert config.outbound_exclude_uids == ("53,3000-5000:106-108", "7")
    variable = {"KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_EXCLUDE_PORTS_FOR_UIDS": "53,54:106;7"}
    assert resolved({}, environ=variable).settings.outbound_exclude_uids == ("53,54:106", "7")


def test_flags_win_over_variables_and_those_over_files() -> None:
    environ = {
        "KUMA_TRANSPARENT_PROXY_REDIRECT_INBOUND_PORT": "2",
        "KUMA_TRANSPARENT_PROXY_REDIRECT_OUTBOUND_PORT": "2",
    }
    file = {"redirect": {"inbound": {"port": 1}, "outbound": {"port": 1}, "dns": {"port": 1}}}
    config = resolved(file, flags={"inbound_port": 3}, environ=environ).settings
    assert (config.inbound_port, config.outbound_port, config.dns_port) == (3, 2, 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("redirect: {inbund: {}}", "unknown key redirect.inbund; did you mean redirect.inbound."),
        ("redirect: {inbound: {prot: 1}}", "redirect.inbound.prot; did you mean redirect.inbound.port?"),
        ("redirect: {inbound: {port: 0}}", "redirect.inbound.port is wrong: 0 is not a port"),
        ("redirect: {dns: {port: 65536}}", "redirect.dns.port is wrong: 65536 is not a port"),
        ("redirect: {outbound: {excludePorts: [1, x]}}", "redirect.outbound.excludePorts is wrong: 'x'"),
        ("redirect: {outbound: {excludePorts: [70000]}}", "redirect.outbound.excludePorts is wrong: 70000"),
        ("redirect: {outbound: {excludePortsForIPs: [10.0.0.0/33]}}", "'10.0.0.0/33' is neither"),
        ("redirect: {outbound: {excludePortsForUIDs: ['*']}}", "'*' is neither a uid nor a range"),
        ("redirect: {outbound: {excludePortsForUIDs: ['icmp:1:2']}}", "'icmp' is not one of tcp, udp"),
        ("redirect: {outbound: {excludePortsForUIDs: ['0:2']}}", "'0' is not a port"),
        ("redirect: {outbound: {excludePortsForUIDs: ['9-2']}}", "'9-2' is not a uid or a range"),
        ("redirect: {outbound: {excludePortsForUIDs: ['1:2:3:4']}}", "not of the form protocol:ports:uids"),
        ("redirect: {vnet: {networks: [docker0]}}", "'docker0' is not of the form interface:CIDR"),
        ("redirect: {vnet: {networks: ['a b:10.0.0.0/8']}}", "'a b' is not the name of a network interface"),
        ("ipFamilyMode: ipv6", "ipFamilyMode is wrong: 'ipv6' is not one of dualstack, ipv4"),
        ("log: {level: 8}", "log.level is wrong: 8 is not a number from 0 to 7"),
        ("wait: -1", "wait is wrong: -1"),
        ("retry: {sleepBetweenRetries: soon}", "sleepBetweenRetries is wrong: 'soon'"),
        ("redirect: 7", "unknown key redirect"),
        ("[]", "a document must be settings such as redirect: {dns: {enabled: true}}, not a list"),
        ("/etc/kuma/tp.yaml", "a document must be settings such as redirect: {dns: {enabled: true}}"),
        ("kumaDPUsr:", "unknown key kumaDPUsr; did you mean kumaDPUser?"),
        ("redirect: {dsn: ~}", "unknown key redirect.dsn; did you mean redirect.dns."),
        ("redirect: {inbound: {port: {x: null}}}", "unknown key redirect.inbound.port.x; did you mean"),
        ("redirect: {outbound: {excludePortsForIPs: ['fe80::1%eth0']}}", "'fe80::1%eth0' is neither an IP"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_place(text: str, said: str) -> None:
    with pytest.raises(UserError) as told:
        load([("fine.yaml", "wait: 1"), ("tp.yaml", text)])
    assert str(told.value).startswith("tp.yaml:")
    assert said in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("document", "flags", "environ", "said"),
    [
        ({"redirect": {"inbound": {"port": 15001}}}, {}, {}, "redirect.outbound.port and redirect.inbound."),
        ({"redirect": {"dns": {"captureAll": True}}}, {"inbound_port": 15053}, {}, "redirect.dns.port and"),
        ({"redirect": {"vnet": {"networks": ["a:::/8"]}}}, {"dns_port": 15001}, {}, "--redirect-dns-port"),
        ({}, {"dns_capture_all": True}, {f"{ENV}DNS_PORT": "15006"}, f"{ENV}DNS_PORT and redirect."),
    ],
)  # fmt: skip
def test_two_listeners_cannot_share_a_port(
    document: dict[str, Any], flags: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(UserError) as told:
        resolved(document, flags=flags, environ=environ)
    assert str(told.value).startswith(said)
    assert str(told.value).endswith("; give each its own port")


@pytest.mark.parametrize(
    "document",
    [
        {"redirect": {"inbound": {"port": 15001, "enabled": False}}},
        {"redirect": {"outbound": {"port": 15006, "enabled": False}}},
        {"redirect": {"dns": {"port": 15001}}},
    ],
)
def test_a_port_that_nobody_listens_on_may_be_any(document: dict[str, Any]) -> None:
    resolved(document)


def test_ports_may_be_swapped_over_several_files() -> None:
    first, second = "redirect: {inbound: {port: 15001}}", "redirect: {outbound: {port: 15006}}"
    config = load([("a", first), ("b", second)])
    assert (config.inbound_port, config.outbound_port) == (15001, 15006)


def test_a_wrong_value_is_told_by_the_name_it_was_given_by() -> None:
    for sources, name in (
        ({"flags": {"wait": -1}}, "--wait"),
        ({"environ": {"KUMA_TRANSPARENT_PROXY_WAIT": "-1"}}, "KUMA_TRANSPARENT_PROXY_WAIT"),
        ({"flags": {"executables": ("x",)}}, "--iptables-executables"),
    ):
        with pytest.raises(UserError, match=f"^{name} is wrong: "):
            resolved({}, **sources)


def test_programs_are_named_by_flag_and_by_file() -> None:
    config = load([("a", "iptablesExecutables: {iptables: /a, iptables-save: /b, iptables-restore: /c}")])
    assert executables(config) == {"iptables": "/a", "iptables-save": "/b", "iptables-restore": "/c"}
    file = {"iptablesExecutables": {"iptables": "/a", "iptables-save": "/b"}}
    both = resolved(file, flags={"executables": ("iptables-restore:/c:d",)}).settings
    assert executables(both)["iptables-restore"] == "/c:d"
    with pytest.raises(UserError, match="has only iptables, iptables-save; give iptables, iptables-save and"):
        executables(resolved(file).settings)
    with pytest.raises(UserError, match="'ipfilter:/x' is not of the form name:path"):
        resolved({}, flags={"executables": ("ipfilter:/x",)})


def test_every_setting_has_a_key_a_variable_and_mostly_a_flag() -> None:
    for item in options(Config):
        paths = item.key.startswith("iptablesExecutables.")
        assert item.key or item.flag == "iptables-executables"
        assert item.env.startswith("KUMA_TRANSPARENT_PROXY_") or paths, item.key
        assert item.flag or paths or item.key in NO_FLAG, item.key


def test_users_and_networks_are_read() -> None:
    assert uid_exclusion("tcp:22,80-90:1000-2000") == UidExclusion(
        ("tcp",), ((22, 22), (80, 90)), (1000, 2000)
    )
    assert uid_exclusion("*:*:7") == uid_exclusion("7") == UidExclusion(("tcp", "udp"), ((1, 65535),), (7, 7))
    assert uid_exclusion("udp,tcp::7").protocols == ("tcp", "udp")
    found = virtual_network("br+:fd00::1/64")
    assert (found.interface, found.prefix, str(found.network)) == ("br", True, "fd00::/64")
