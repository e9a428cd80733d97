"""Whatever the settings are, if they are valid, the real programs take the rules that come of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kumamesh.transparent_proxy.config import Config, load
from kumamesh.transparent_proxy.iptables_text import restore_text, wanted
from kumamesh.transparent_proxy.nft_text import install_text
from kumamesh.transparent_proxy.rules import Host as Owner
from kumamesh.transparent_proxy.rules import build
from redirected_network import Host, missing, network

LACKING = missing("iptables-nft", "iptables-legacy", "ip6tables-nft", "ip6tables-legacy")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

ports = st.integers(1, 65_535)
port_lists = st.lists(ports, max_size=40)
uids = st.integers(0, 2**32 - 2)
ips = st.ip_addresses().map(str)
cidrs = st.builds(
    lambda ip, bits: str(ip_network((ip, bits % (ip.max_prefixlen + 1)), strict=False)),
    st.ip_addresses(),
    st.integers(0, 128),
)


def spans(of: st.SearchStrategy[int]) -> st.SearchStrategy[str]:
    pairs = st.tuples(of, of).map(lambda pair: f"{min(pair)}-{max(pair)}")
    return pairs | of.map(str)


port_texts = st.just("*") | st.lists(spans(ports), min_size=1, max_size=20).map(",".join)
exclusions = st.builds(
    "{}:{}:{}".format, st.sampled_from(["", "*", "tcp", "udp", "tcp,udp"]), port_texts, spans(uids)
)
vnets = st.builds("{}:{}".format, st.sampled_from(["docker0", "br+", "a-b.c_1+", "eth0.7"]), cidrs)
flows = {
    "enabled": st.booleans(),
    "includePorts": port_lists,
    "excludePorts": port_lists,
    "excludePortsForIPs": st.lists(ips | cidrs, max_size=5),
    "insertRedirectInsteadOfAppend": st.booleans(),
}
documents = st.fixed_dictionaries(
    {},
    optional={
        "redirect": st.fixed_dictionaries(
            {},
            optional={
                "inbound": st.fixed_dictionaries({}, optional=flows),
                "outbound": st.fixed_dictionaries(
                    {}, optional={**flows, "excludePortsForUIDs": st.lists(exclusions, max_size=4)}
                ),
                "dns": st.fixed_dictionaries(
                    {},
                    optional={
                        "enabled": st.booleans(),
                        "port": st.integers(20_000, 65_535),
                        "captureAll": st.booleans(),
                        "skipConntrackZoneSplit": st.booleans(),
                    },
                ),
                "vnet": st.fixed_dictionaries({}, optional={"networks": st.lists(vnets, max_size=4)}),
            },
        ),
        "dropInvalidPackets": st.booleans(),
        "comments": st.fixed_dictionaries({"disabled": st.booleans()}),
        "log": st.fixed_dictionaries({}, optional={"enabled": st.booleans(), "level": st.integers(0, 7)}),
    },
)


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    with network("host") as hosts:
        yield hosts["host"]


@settings(max_examples=20, deadline=None)
@given(samples=st.lists(st.tuples(documents, uids, st.lists(ips, max_size=3)), min_size=1, max_size=5))
def test_the_programs_take_any_rules(
    host: Host, samples: list[tuple[dict[str, Any], int, list[str]]]
) -> None:
    # Several at once, because most of the time goes into starting programs.
    texts: dict[str, str] = {"nft": "", "iptables": "", "ip6tables": ""}
    for document, uid, servers in samples:
        owner = Owner(uid, tuple(map(ip_address, servers)))
        chains = {family: build(settled(document), owner, family) for family in (4, 6)}
        texts["nft"] += install_text(chains)
        for family, command in ((4, "iptables"), (6, "ip6tables")):
            texts[command] += restore_text({}, wanted(chains[family]))
    host.run("nft", "-c", "-f", "-", stdin=texts["nft"])
    for command in ("iptables", "ip6tables"):
        for kind in ("nft", "legacy"):
            host.run(f"{command}-{kind}-restore", "--noflush", "--test", stdin=texts[command])


def settled(document: dict[str, Any]) -> Config:
    return load([("document", json.dumps(document))])
