"""Names as proxies are told them, and inputs of the units that carry them (contract 4.1, 4.3)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from kumamesh import xds

TTL_S = 30
DEFAULT_DOMAIN = "mesh"
_RESOURCE_DOMAIN = "mesh.local"
"""What the names of MeshServices end in, whatever the domain is."""


@dataclass(frozen=True, slots=True)
class Record:
    """A name without a dot at its end, and its addresses."""

    name: str
    ips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NameTable:
    """Records sorted by name, and the document that carries them; two are equal if their documents are.
    `etag` is the SHA-256 of the document in hex."""

    etag: str
    records: tuple[Record, ...] = field(compare=False, repr=False)
    document: str = field(compare=False, repr=False)


def name_table(records: Iterable[Record], domain: str = DEFAULT_DOMAIN) -> NameTable:
    found = tuple(records)
    content: dict[str, object] = {
        "records": [{"name": record.name, "ips": record.ips} for record in found],
        "ttl": TTL_S,
    }
    if domain != DEFAULT_DOMAIN:
        content["domains"] = [domain, _RESOURCE_DOMAIN]
    document = json.dumps(content, separators=(",", ":"))
    return NameTable(hashlib.sha256(document.encode()).hexdigest(), found, document)


@dataclass(frozen=True, slots=True)
class Page:
    """What the agent of a proxy reads at `path`; equal if the ETags are. All proxies share the text."""

    path: str
    etag: str
    text: str = field(compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class DynamicConfig:
    """Listener from which the agent beside Envoy takes its own configuration; `pipe` is its Unix socket.
    `ipv6` as in OutboundListener."""

    pipe: str
    pages: tuple[Page, ...]
    ipv6: bool = True

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return "_kuma:dynamicconfig"


@dataclass(frozen=True, slots=True)
class DnsListener:
    """Envoy's own name server, for agents without one: they ask it and others in turn."""

    port: int
    names: NameTable
    reuse_port: bool

    @property
    def type_url(self) -> str:
        return xds.LISTENER

    @property
    def name(self) -> str:
        return "kuma:dns"
