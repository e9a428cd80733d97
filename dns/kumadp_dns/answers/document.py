"""The name table as the control plane sends it: Kuma's JSON, and `domains` on top of it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from kumadp_dns.answers.table import DEFAULT_DOMAINS, DEFAULT_TTL

MAX_TTL = 2**31 - 1


class DocumentError(ValueError):
    """Not a name table; one line says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """A name and its addresses, as they were sent. `flaw` is what is wrong with the shape of the record."""

    name: str
    ips: tuple[str, ...]
    flaw: str = ""


@dataclass(frozen=True, slots=True)
class Document:
    """`ttl` is in seconds. No name under `domains` is ever asked for outside."""

    records: tuple[Record, ...] = ()
    ttl: int = DEFAULT_TTL
    domains: tuple[str, ...] = DEFAULT_DOMAINS


def parse(body: bytes) -> Document:
    """Raises DocumentError. A record that cannot be used is no error here: `table.build` refuses it."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise DocumentError(f"the name table is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise DocumentError("the name table is not a JSON object")
    records, ttl, domains = document.get("records"), document.get("ttl"), document.get("domains")
    if records is not None and not isinstance(records, list):
        raise DocumentError("`records` of the name table is not a list")
    if ttl is not None and (type(ttl) is not int or not 0 <= ttl <= MAX_TTL):
        raise DocumentError(f"`ttl` of the name table is not a number of seconds from 0 to {MAX_TTL}")
    if domains is not None and not _are_texts(domains):
        raise DocumentError("`domains` of the name table is not a list of names")
    return Document(
        tuple(_record(record) for record in records or ()),
        DEFAULT_TTL if ttl is None else ttl,
        DEFAULT_DOMAINS if domains is None else tuple(domains),
    )


def _record(record: Any) -> Record:
    name = record.get("name") if isinstance(record, dict) else None
    if not isinstance(name, str):
        return Record("", (), "a record without a name")
    ips = record.get("ips")
    if ips is not None and not _are_texts(ips):
        return Record(name, (), "`ips` is not a list of addresses")
    return Record(name, tuple(ips or ()))


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)
