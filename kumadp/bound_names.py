"""Names of addresses that the proxy is to listen on itself (--bind-outbounds), and cannot. Pure.

Another program of this host has such an address then, perhaps another proxy: whoever called the name would
get there, and with that one's identity. So a name has no address here at which Envoy does not listen.
"""

from __future__ import annotations

from collections.abc import Collection
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


def _listened(text: str) -> str:
    """The address as Envoy writes it; connections to an IPv4 one in IPv6 form are those of IPv4."""
    try:
        address = ip_address(text)
    except ValueError:
        return text
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)
