"""What is known about the names that are ours: of every type, and that there is nothing."""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from kumadp_dns.answers import wire
from kumadp_dns.answers.table import A_IN, AAAA_IN, KEY_HEAD_BYTES, Table

_TIMES = Struct("!5I")
_SERIAL, _REFRESH, _RETRY, _EXPIRE = 1, 3_600, 1_200, 604_800
_HOSTMASTER = b"\x0ahostmaster"
_IN_ADDR, _IP6 = b"\7in-addr\4arpa\0", b"\3ip6\4arpa\0"
_RECORD_HEAD_BYTES = 12
"""Of a record whose owner is a pointer."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The records of an answer, or the SOA record that says for how long there is none."""

    rcode: int
    answers: tuple[bytes, ...] = ()
    authority: bytes = b""


def verdict(table: Table, name: bytes, qtype: int, at: int = wire.HEADER_BYTES) -> Verdict | None:
    """The answer for a name in lower case, which is written whole at this offset of the reply; None: it is
    somebody else's. Ours are all names under the domains, those of the table, and the reverse names of its
    addresses; each of the latter two is a zone of its own when it is not under a domain."""
    zone = table.zone_of(name)
    listed = table.reply(name, A_IN) is not None
    pointers = table.names_of(reverse_address(name) or b"")
    if zone is None:
        if not listed and not pointers:
            return None
        zone = name
    owner = wire.pointer(at)
    found: list[bytes] = []
    for kind, rtype in ((A_IN, wire.A), (AAAA_IN, wire.AAAA)):
        if qtype in (rtype, wire.ANY):
            found += [wire.record(owner, rtype, table.ttl, a) for a in addresses(table, name, kind)]
    if qtype in (wire.PTR, wire.ANY):
        found += [wire.record(owner, wire.PTR, table.ttl, target) for target in pointers]
    if name == zone and qtype in (wire.SOA, wire.ANY):
        found.append(soa(name, zone, table.ttl, at))
    if name == zone and qtype in (wire.NS, wire.ANY):
        found.append(wire.record(owner, wire.NS, table.ttl, owner))
    if found:
        return Verdict(wire.NOERROR, tuple(found))
    exists = listed or bool(pointers) or name == zone or name in table.hollow
    return Verdict(wire.NOERROR if exists else wire.NXDOMAIN, (), soa(name, zone, table.ttl, at))


def soa(name: bytes, zone: bytes, ttl: int, at: int = wire.HEADER_BYTES) -> bytes:
    """The SOA record of the zone of a name that is written whole at this offset. The zone's own name stands
    for its first server, as in other zones that are only known here (RFC 6303)."""
    apex = wire.pointer(at + len(name) - len(zone))
    times = _TIMES.pack(_SERIAL, _REFRESH, _RETRY, _EXPIRE, ttl)
    return wire.record(apex, wire.SOA, ttl, apex + _HOSTMASTER + apex + times)


def addresses(table: Table, name: bytes, kind: bytes) -> list[bytes]:
    """The packed addresses of a name, of the kind A_IN or AAAA_IN."""
    reply = table.reply(name, kind)
    if reply is None:
        return []
    start = KEY_HEAD_BYTES + len(name) + len(kind)
    size = _RECORD_HEAD_BYTES + (4 if kind == A_IN else 16)
    many = reply[4] << 8 | reply[5]
    return [
        reply[end - size + _RECORD_HEAD_BYTES : end]
        for end in range(start + size, start + size * many + 1, size)
    ]


def reverse_address(name: bytes) -> bytes | None:
    """The address that a name under in-addr.arpa or ip6.arpa stands for."""
    if name.endswith(_IN_ADDR):
        return _ipv4(name)
    digits = name[1:64:2]
    if name.endswith(_IP6) and len(name) == 64 + len(_IP6) and name[0:64:2] == b"\1" * 32:
        try:
            address = bytes.fromhex(digits[::-1].decode("ascii"))
        except ValueError:
            return None
        return address if len(address) == 16 else None
    return None


def _ipv4(name: bytes) -> bytes | None:
    labels = [suffix[1 : 1 + suffix[0]] for suffix in wire.suffixes(name)][:-2]
    if len(labels) != 4:
        return None
    numbers = [int(label) for label in labels if label.isdigit() and len(label) <= 3]
    if [b"%d" % number for number in numbers] != labels or max(numbers) > 255:
        return None
    return bytes(reversed(numbers))
