"""Settings of transparent proxying for tests of the rules that come of them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from kumamesh.transparent_proxy.config import resolved
from kumamesh.transparent_proxy.rules import Chain, Host, build

SERVERS = tuple(map(ip_address, ("10.0.0.2", "fd00::2", "fe80::1%eth0", "127.0.0.53", "10.0.0.2")))
SAMPLES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "all-dns": {"redirect": {"dns": {"captureAll": True}}},
    "listed-dns": {"redirect": {"dns": {"enabled": True, "port": 53053}}},
    "gateway": {
        "redirect": {
            "inbound": {"enabled": False},
            "dns": {"captureAll": True, "skipConntrackZoneSplit": True},
        },
    },
    "inbound-only": {"redirect": {"outbound": {"enabled": False}, "inbound": {"includePorts": [80, 8080]}}},
    "included-ports": {
        "redirect": {
            "inbound": {"includePorts": [80, 8080], "excludePorts": [22]},
            "outbound": {
                "includePorts": [80, 443],
                "excludePorts": [25, 53],
                "excludePortsForUIDs": ["1-2,4-5,7-8,10-11,13-14,16-17,19-20,22-23:1000"],
            },
            "dns": {"captureAll": True},
            "vnet": {"networks": ["docker0:172.17.0.0/16"]},
        },
        "comments": {"disabled": True},
    },
    "everything": {
        "redirect": {
            "inbound": {
                "port": 25006,
                "excludePorts": [22],
                "excludePortsForIPs": ["10.1.0.0/16,fd01::/16"],
                "insertRedirectInsteadOfAppend": True,
            },
            "outbound": {
                "port": 25001,
                "excludePorts": list(range(1, 18)),
                "excludePortsForIPs": ["10.2.0.0/16", "fd02::1"],
                "excludePortsForUIDs": ["tcp:22,80-90:1000-2000", "53:1003", "1004"],
                "insertRedirectInsteadOfAppend": True,
            },
            "dns": {"captureAll": True},
            "vnet": {"networks": ["docker0:172.17.0.0/16", "br+:fd03::/64"]},
        },
        "log": {"enabled": True, "level": 4},
        "dropInvalidPackets": True,
    },
}  # fmt: skip
FAMILIES = (4, 6)


def chains(name: str, family: int) -> tuple[Chain, ...]:
    """The chains of a sample."""
    return build(resolved(SAMPLES[name]).settings, Host(5678, SERVERS), family)
