"""Names of addresses that the proxy is to listen on itself (--bind-outbounds), and cannot. Pure.

Another program of this host has such an address then, perhaps another proxy: whoever called the name would
get there, and with that one's identity. Or it is not an address of this host, and the call would leave it. So
a name has no address here at which Envoy does not listen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from ipaddress import IPv6Address, ip_address

from kumadp_dns.answers.document import Document, Record


def without_closed(document: Document, listening: Collection[str]) -> tuple[Document, tuple[str, ...]]:
    """The document without addresses that Envoy is not `listening` on, and those, each with its name. The
    names stay."""
    records, closed = [], []
    for record in document.records:
        kept = tuple(ip for ip in record.ips if _listened(ip) in listening)
        closed += [f"{record.name} {ip}" for ip in record.ips if ip not in kept]
        records.append(Record(record.name, kept, record.flaw))
    return replace(document, records=tuple(records)), tuple(closed)


def remedy(closed: Iterable[str]) -> str:
    """Against addresses that Envoy could not listen on, given with their names."""
    if all(_listened(entry.rpartition(" ")[2]).startswith("127.") for entry in closed):
        return (
            "another program of this host has it, perhaps another proxy with --bind-outbounds: give each a "
            "network namespace (a container) of its own, or the control plane another "
            "KUMA_DNS_SERVER_SERVICE_VIP_PORT"
        )
    return (
        "with --bind-outbounds virtual addresses must be this host's own: give the control plane a "
        "KUMA_DNS_SERVER_CIDR in 127.0.0.0/8, such as 127.240.0.0/16"
    )


def _listened(text: str) -> str:
    """The address as Envoy writes it; connections to an IPv4 one in IPv6 form are those of IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
