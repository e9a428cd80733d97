"""Other name servers with the names of ours, each in the leanest set-up that answers them from one thread."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy_binary import envoy_path

Names = Mapping[str, tuple[str, str]]
"""IPv4 and IPv6 address of each name."""
DOMAIN = "mesh"
TTL_S = 30


def made_names(count: int, shift: int = 0) -> Names:
    """So many services with VIPs, as the control plane gives them: IPv6 maps IPv4."""
    vips = (ipaddress.IPv4Address(0xF000_0001 + shift + number) for number in range(count))
    return {f"service-{number}.{DOMAIN}": (str(v4), f"::ffff:{v4}") for number, v4 in enumerate(vips)}


def unbound(folder: Path, port: int, names: Names) -> list[str]:
    records = "".join(
        f'local-data: "{name}. {TTL_S} IN A {v4}"\nlocal-data: "{name}. {TTL_S} IN AAAA {v6}"\n'
        for name, (v4, v6) in names.items()
    )
    path = folder / "unbound.conf"
    # What it does not know it would ask the world: here that is a port where nobody listens.
    path.write_text(
        f"""server:
chroot: ""
username: ""
pidfile: ""
directory: "{folder}"
use-syslog: no
do-daemonize: no
interface: 127.0.0.1
port: {port}
num-threads: 1
module-config: "iterator"
local-zone: "{DOMAIN}." static
{records}forward-zone:
name: "."
forward-addr: 127.0.0.1@9
"""
    )
    return ["unbound", "-d", "-c", str(path)]


def dnsmasq(folder: Path, port: int, names: Names) -> list[str]:
    hosts = folder / "dnsmasq.hosts"
    hosts.write_text("".join(f"{v4} {name}\n{v6} {name}\n" for name, (v4, v6) in names.items()))
    return [
        *("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file=", "--user=", "--group="),
        *("--no-resolv", "--no-hosts", f"--addn-hosts={hosts}", f"--local=/{DOMAIN}/"),
        *(f"--local-ttl={TTL_S}", f"--port={port}", "--listen-address=127.0.0.1", "--bind-interfaces"),
    ]


def nsd(folder: Path, port: int, names: Names) -> list[str]:
    zone = folder / "nsd.zone"
    zone.write_text(
        f"$ORIGIN {DOMAIN}.\n$TTL {TTL_S}\n@ SOA ns hostmaster 1 3600 600 86400 {TTL_S}\n@ NS ns\n"
        "ns A 127.0.0.1\n"
        + "".join(f"{name}. A {v4}\n{name}. AAAA {v6}\n" for name, (v4, v6) in names.items())
    )
    path = folder / "nsd.conf"
    # rrl: Debian's nsd answers at most 200 questions a second of one client otherwise.
    path.write_text(
        f"""server:
ip-address: 127.0.0.1@{port}
server-count: 1
username: ""
chroot: ""
zonesdir: "{folder}"
database: ""
pidfile: ""
xfrdir: "{folder}"
xfrdfile: ""
zonelistfile: "{folder}/nsd.zones"
cookie-secret-file: ""
rrl-ratelimit: 0
remote-control:
control-enable: no
zone:
name: "{DOMAIN}"
zonefile: "{zone}"
"""
    )
    return ["nsd", "-d", "-c", str(path)]


def dns_filter(folder: Path, port: int, names: Names) -> list[str]:
    """Envoy's."""
    table = [
        {"name": name, "endpoint": {"address_list": {"address": list(both)}}, "answer_ttl": f"{TTL_S}s"}
        for name, both in names.items()
    ]
    config = {
        "@type": "type.googleapis.com/envoy.extensions.filters.udp.dns_filter.v3.DnsFilterConfig",
        "stat_prefix": "dns",
        "server_config": {"inline_dns_table": {"virtual_domains": table}},
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port, "protocol": "UDP"}}
    listener: dict[str, Any] = {
        "name": "dns",
        "address": address,
        "listener_filters": [{"name": "envoy.filters.udp.dns_filter", "typed_config": config}],
    }
    path = folder / "envoy.json"
    path.write_text(json.dumps({"static_resources": {"listeners": [listener]}}))
    return [
        *(str(envoy_path()), "-c", str(path), "--concurrency", "1"),
        *("--disable-hot-restart", "-l", "warning"),
    ]


OTHERS: Mapping[str, Callable[[Path, int, Names], Sequence[str]]] = {
    "unbound": unbound,
    "dnsmasq": dnsmasq,
    "NSD": nsd,
    "Envoy's dns_filter": dns_filter,
}
"""Each writes its configuration into the folder and gives the command."""
