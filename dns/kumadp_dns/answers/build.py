"""From the control plane's document to the name table: outside the worker, which only takes it up."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address
from itertools import islice

from kumadp_dns.answers import authority, wire
from kumadp_dns.answers.document import Document, Record
from kumadp_dns.answers.edns import OPT_BYTES, PLAIN_UDP_BYTES
from kumadp_dns.answers.table import A_IN, AAAA_IN, KEY_HEAD, Refused, Table, plain_address

MAX_ADDRESSES = 1_000
"""Of one family per name, so that any answer fits into one message over TCP."""
MAX_REVERSE_NAMES = 32
"""That one address is answered with."""
MAX_REFUSED = 100
"""Refusals that are listed."""

_FLAGS = bytes((wire.QR | wire.AA | wire.RD, wire.RA))
_OWNER = wire.pointer(wire.HEADER_BYTES)
_ALWAYS_FITS = PLAIN_UDP_BYTES - len(b"id") - OPT_BYTES
_MAX_SHOWN = 80
_KINDS = {4: wire.A, 16: wire.AAAA}


def build(document: Document) -> Table:
    """Everything of the document that can be used; the rest is refused, with reasons."""
    builder = _Builder(document)
    for entry in document.records:
        builder.add(entry)
    return builder.table()


class _Builder:
    def __init__(self, document: Document) -> None:
        self._ttl = document.ttl
        self._answers: dict[bytes, bytes] = {}
        self._large: dict[bytes, bytes] = {}
        self._hollow: set[bytes] = set()
        self._reverse: dict[bytes, bytes | tuple[bytes, ...]] = {}
        self._names: set[bytes] = set()
        self._refused: list[Refused] = []
        self._refusals = 0
        self._zones = Table(domains=tuple(self._domains(document.domains)))
        self._heads = {
            size: wire.record(_OWNER, kind, self._ttl, b"\0" * size)[:-size] for size, kind in _KINDS.items()
        }
        for domain in self._zones.domains:
            self._add_parents(domain)

    def _domains(self, texts: Iterable[str]) -> dict[bytes, None]:
        found: dict[bytes, None] = {}
        for text in texts:
            try:
                found[wire.encode_name(text)] = None
            except ValueError as reason:
                self._refuse(text, "domain", reason)
        return found

    def add(self, entry: Record) -> None:
        try:
            if entry.flaw:
                raise ValueError(entry.flaw)
            name = wire.encode_name(entry.name)
            if name in self._names:
                raise ValueError("listed twice; the first one counts")
        except ValueError as reason:
            self._refuse(entry.name, "name", reason)
            return
        self._names.add(name)
        self._add_parents(name)
        addresses = self._addresses(entry)
        key = self._add_answers(name, addresses)
        for address in dict.fromkeys(map(plain_address, addresses)):
            self._add_reverse(address, key)

    def _addresses(self, entry: Record) -> list[bytes]:
        counts = dict.fromkeys(_KINDS, 0)
        found: dict[bytes, None] = {}
        for text in entry.ips:
            try:
                address = _packed(text)
                if address in found:
                    raise ValueError("listed twice")
                if counts[len(address)] == MAX_ADDRESSES:
                    raise ValueError(f"more than {MAX_ADDRESSES} of one family")
            except ValueError as reason:
                self._refuse(entry.name, f"address {_shown(text)}", reason)
            else:
                found[address] = None
                counts[len(address)] += 1
        return list(found)

    def _add_answers(self, name: bytes, addresses: list[bytes]) -> bytes:
        negative = authority.soa(name, self._zones.zone_of(name) or name, self._ttl)
        one = self._reply(name, A_IN, [a for a in addresses if len(a) == 4], negative)
        other = self._reply(name, AAAA_IN, [a for a in addresses if len(a) == 16], negative)
        replies = self._answers if max(len(one), len(other)) <= _ALWAYS_FITS else self._large
        key = KEY_HEAD + name + A_IN
        replies[key] = one
        replies[KEY_HEAD + name + AAAA_IN] = other
        return key

    def _reply(self, name: bytes, kind: bytes, addresses: list[bytes], negative: bytes) -> bytes:
        counts = wire.counts(1, len(addresses), 0 if addresses else 1, 0)
        records = b"".join([self._heads[len(address)] + address for address in addresses]) or negative
        return _FLAGS + counts + name + kind + records

    def _add_reverse(self, address: bytes, key: bytes) -> None:
        known = self._reverse.get(address)
        if known is None:
            self._reverse[address] = key
        elif isinstance(known, bytes):
            self._reverse[address] = (known, key)
        elif len(known) < MAX_REVERSE_NAMES:
            self._reverse[address] = (*known, key)

    def _add_parents(self, name: bytes) -> None:
        for parent in islice(wire.suffixes(name), 1, None):
            if parent in self._hollow or self._zones.zone_of(parent) is None:
                return
            self._hollow.add(parent)

    def _refuse(self, name: str, what: str, reason: ValueError) -> None:
        self._refusals += 1
        if len(self._refused) < MAX_REFUSED:
            self._refused.append(Refused(_shown(name), what, str(reason)))

    def table(self) -> Table:
        return Table(
            answers=self._answers,
            large=self._large,
            hollow=self._hollow - self._names,
            reverse=self._reverse,
            domains=self._zones.domains,
            ttl=self._ttl,
            names=len(self._names),
            refused=tuple(self._refused),
            refusals=self._refusals,
        )


def _packed(text: str) -> bytes:
    try:
        address = IPv6Address(text) if ":" in text else IPv4Address(text)
    except ValueError:
        raise ValueError("not an IP address") from None
    if "%" in text:
        raise ValueError("has a scope, which means nothing to others")
    return address.packed


def _shown(text: str) -> str:
    """For a line of a log: short, and without anything that is not printable."""
    cut = text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "..."
    return cut if cut.isprintable() else ascii(cut)
