"""The virtual addresses of one mesh, and the document that keeps them (contract 6.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import Any

from kumacp.xds.model import Tags, freeze_tags

MAX_PORT = 65535
_OCTET = r"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?:{_OCTET}\.){{3}}{_OCTET}")
"""Saves most of the time that it takes to read a document."""


class Kind(IntEnum):
    """What an entry is named after: a kuma.io/service, the host of an ExternalService, or the host that a
    VirtualOutbound makes."""

    SERVICE = 0
    HOST = 1
    FQDN = 2


@dataclass(frozen=True, slots=True)
class VipOutbound:
    """Where one port of a virtual address leads. `port` 0: the entry declares none, it has the port that all
    virtual addresses share. `tags` name a kuma.io/service; `origin` is what asked for it."""

    port: int
    tags: Tags
    origin: str


@dataclass(frozen=True, slots=True)
class VipEntry:
    """A name and its address, with its outbounds by port."""

    kind: Kind
    name: str
    address: str
    outbounds: tuple[VipOutbound, ...]


VipKey = tuple[Kind, str]
Vips = Mapping[VipKey, VipEntry]


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a document, and one line for each part that could not."""

    vips: Vips
    faults: tuple[str, ...]


def parse(text: str) -> dict[VipKey, VipEntry]:
    """The entries of a document that have an address; raises ValueError with the first fault of it."""
    reading = read(text)
    if reading.faults:
        raise ValueError(reading.faults[0])
    return dict(reading.vips)


def read(text: str) -> Reading:
    """As much of a document as holds. An empty text is a document without entries; entries without an address
    are those for which the range was too small, and are left out."""
    vips: dict[VipKey, VipEntry] = {}
    faults: list[str] = []
    try:
        document = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        return Reading({}, (f"the virtual addresses are not JSON: {error}",))
    if not isinstance(document, dict):
        return Reading({}, ("the virtual addresses must be a JSON object",))
    for key, value in document.items():
        try:
            entry = _entry(key, value)
        except ValueError as error:
            faults.append(f"the virtual address {key[:300]!r} {error}")
            continue
        if entry.address:
            vips[entry.kind, entry.name] = entry
    return Reading(vips, tuple(faults))


def render(vips: Vips) -> str:
    """The document, in the bytes that Kuma would write: keys in order, no blanks, `<`, `>`, `&` escaped."""
    document = {
        f"{entry.kind:d}:{entry.name}": {
            "address": entry.address,
            "outbounds": [
                {"Port": item.port, "TagSet": dict(item.tags), "Origin": item.origin}
                for item in entry.outbounds
            ],
        }
        for entry in vips.values()
    }
    ordered = {key: document[key] for key in sorted(document)}
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _entry(key: str, value: Any) -> VipEntry:
    kind, colon, name = key.partition(":")
    if not (colon and name and kind in ("0", "1", "2")):
        raise ValueError('must be named "0:", "1:" or "2:" and a name')
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    outbounds = value.get("outbounds")
    if not isinstance(outbounds, list) or not outbounds:
        raise ValueError("must have outbounds")
    return VipEntry(Kind(int(kind)), name, _address(value.get("address")), tuple(_outbounds(outbounds)))


def _address(value: Any) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, str) and _IPV4.fullmatch(value):
        return value
    try:
        return str(ip_address(value)) if isinstance(value, str) else _refuse("address", value)
    except ValueError:
        return _refuse("address", value)


def _outbounds(values: list[Any]) -> Iterator[VipOutbound]:
    for value in values:
        if not isinstance(value, dict):
            raise ValueError("must have objects as outbounds")
        port = _field(value, 0, "Port", "port")
        if type(port) is not int or not 0 <= port <= MAX_PORT:
            _refuse("port", port)
        tags = _field(value, {}, "TagSet", "tagSet", "tags")
        if not isinstance(tags, dict) or not all(isinstance(tag, str) for tag in tags.values()):
            _refuse("tags", tags)
        origin = _field(value, "", "Origin", "origin")
        if not isinstance(origin, str):
            _refuse("origin", origin)
        yield VipOutbound(port, freeze_tags(tags), origin)


def _field(value: dict[str, Any], default: Any, *spellings: str) -> Any:
    """The field in the first spelling that is there; Kuma reads any case and has written both."""
    for name in spellings:
        found = value.get(name)
        if found is not None:
            return found
    return default


def _refuse(what: str, value: Any) -> str:
    raise ValueError(f"has the {what} {str(value)[:100]!r}, which is of no use")
