"""The virtual addresses of one mesh, and the document that keeps them (contract 6.1)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from kumacp.xds.model import Tags, freeze_tags

MAX_PORT = 65535
_FAR_FUTURE = 2**40
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


@dataclass(frozen=True, slots=True)
class Released:
    """The address that a name had, until nobody wanted the name any more. `since`: seconds since 1970."""

    address: str
    since: int


VipKey = tuple[Kind, str]
Vips = Mapping[VipKey, VipEntry]
Releases = Mapping[VipKey, Released]
NO_RELEASES: Releases = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Reading:
    """What could be read of a document, and one line for each part that could not."""

    vips: Vips
    released: Releases
    faults: tuple[str, ...]


_written: dict[str, Vips] = {}
"""What the newest documents of this process were made of: to read one with 10,000 names takes 0.2 s, and
whoever reads it first is the event loop."""
_MAX_WRITTEN = 8


def parse(text: str) -> dict[VipKey, VipEntry]:
    """The entries of a document that have an address; raises ValueError with the first fault of it."""
    known = _written.get(text)
    if known is not None:
        return dict(known)
    reading = read(text)
    if reading.faults:
        raise ValueError(reading.faults[0])
    return dict(reading.vips)


def read(text: str) -> Reading:
    """As much of a document as holds. An empty text is a document without entries; entries without an address
    are those for which the range was too small, and are left out."""
    vips: dict[VipKey, VipEntry] = {}
    released: dict[VipKey, Released] = {}
    faults: list[str] = []
    try:
        document = json.loads(text or "{}")
    except (ValueError, RecursionError) as error:
        return Reading({}, {}, (f"the virtual addresses are not JSON: {error}",))
    if not isinstance(document, dict):
        return Reading({}, {}, ("the virtual addresses must be a JSON object",))
    for text_key, value in document.items():
        try:
            key = _key(text_key)
            entry = _entry(key, value)
        except ValueError as error:
            faults.append(f"the virtual address {text_key[:300]!r} {error}")
            continue
        if isinstance(entry, Released):
            released[key] = entry
        elif entry.address:
            vips[key] = entry
    return Reading(vips, released, tuple(faults))


def render(vips: Vips, released: Releases = NO_RELEASES) -> str:
    """The document, in the bytes that Kuma would write: keys in order, no blanks, `<`, `>`, `&` escaped. What
    was released has no outbounds, and so no names."""
    document: dict[str, dict[str, object]] = {
        f"{entry.kind:d}:{entry.name}": {
            "address": entry.address,
            "outbounds": [
                {"Port": item.port, "TagSet": dict(item.tags), "Origin": item.origin}
                for item in entry.outbounds
            ],
        }
        for entry in vips.values()
    }
    for (kind, name), gone in released.items():
        document[f"{kind:d}:{name}"] = {"address": gone.address, "outbounds": [], "released": gone.since}
    ordered = {key: document[key] for key in sorted(document)}
    text = json.dumps(ordered, ensure_ascii=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    _remember(text, vips)
    return text


def _remember(text: str, vips: Vips) -> None:
    if not all(entry.address and entry.outbounds for entry in vips.values()):
        return
    _written[text] = {(entry.kind, entry.name): entry for entry in vips.values()}
    while len(_written) > _MAX_WRITTEN:
        del _written[next(iter(_written))]


def _key(text: str) -> VipKey:
    kind, colon, name = text.partition(":")
    if not (colon and name and kind in ("0", "1", "2")):
        raise ValueError('must be named "0:", "1:" or "2:" and a name')
    return Kind(int(kind)), name


def _entry(key: VipKey, value: Any) -> VipEntry | Released:
    if not isinstance(value, dict):
        raise ValueError("must be an object")
    outbounds = value.get("outbounds")
    if not outbounds and "released" in value:
        return _released(value)
    if not isinstance(outbounds, list) or not outbounds:
        raise ValueError("must have outbounds")
    return VipEntry(*key, _address(value.get("address")), tuple(_outbounds(outbounds)))


def _released(value: dict[str, Any]) -> Released:
    address, since = _address(value.get("address")), value["released"]
    if not address:
        raise ValueError("was released and has no address")
    if type(since) is not int or not 0 <= since < _FAR_FUTURE:
        _refuse("time of release", since)
    return Released(address, since)


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
