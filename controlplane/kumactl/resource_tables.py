"""Lists of resources as tables; the columns are Kuma's (kuma-cp 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kumactl import table
from kumactl.ages import age, parse_time
from kumactl.tags import inbound_tags
from kumamesh.resources.registry import ResourceType

Item = Mapping[str, Any]
Column = tuple[str, Callable[[Item], str]]


def resource_table(type_: ResourceType, items: list[Item], following: str | None, now: datetime) -> str:
    """The table of a page of resources; `following` is the URL of the next page."""
    columns: list[Column] = [("MESH", lambda item: item.get("mesh", ""))] if type_.mesh_scoped else []
    columns += [("NAME", lambda item: item["name"]), *_SPECIAL.get(type_.name, ())]
    columns.append(("AGE", lambda item: _age(item, now)))
    rows = [[read(item) for _, read in columns] for item in items]
    text = table.render([title for title, _ in columns], rows)
    offset = parse_qs(urlsplit(following).query).get("offset") if following else None
    if offset:
        text += f"\n\nRerun command with --offset={offset[0]} argument to retrieve more resources"
    return text


def _age(item: Item, now: datetime) -> str:
    """Nothing for what the control plane computes: it was never created."""
    created = item.get("creationTime")
    return age(created, now) if parse_time(created) else ""


def _networking(item: Item) -> Mapping[str, Any]:
    return item.get("networking") or {}


def _port(item: Item) -> str:
    return str(_networking(item).get("port", ""))


def _backend(kind: str, key: str) -> Callable[[Item], str]:
    """`type/name` of the backend that is switched on."""

    def read(item: Item) -> str:
        section = item.get(kind) or {}
        enabled = section.get(key)
        for backend in section.get("backends", ()):
            if enabled and backend.get("name") == enabled:
                return f"{backend.get('type')}/{enabled}"
        return "off"

    return read


def _switch(key: str) -> Callable[[Item], str]:
    return lambda item: "on" if (item.get("routing") or {}).get(key) else "off"


def _target(key: str) -> Callable[[Item], str]:
    def read(item: Item) -> str:
        target = (item.get("spec") or {}).get("targetRef") or {}
        return str(target.get(key, "Mesh" if key == "kind" else ""))

    return read


_SPECIAL: Mapping[str, tuple[Column, ...]] = {
    "Mesh": (
        ("mTLS", _backend("mtls", "enabledBackend")),
        ("METRICS", _backend("metrics", "enabledBackend")),
        ("LOGGING", _backend("logging", "defaultBackend")),
        ("TRACING", _backend("tracing", "defaultBackend")),
        ("LOCALITY", _switch("localityAwareLoadBalancing")),
        ("ZONEEGRESS", _switch("zoneEgress")),
    ),
    "Dataplane": (
        ("TAGS", lambda item: inbound_tags(_networking(item))),
        ("ADDRESS", lambda item: _networking(item).get("address", "")),
    ),
    "ZoneIngress": (
        ("ZONE", lambda item: item.get("zone", "")),
        ("ADDRESS", lambda item: _networking(item).get("address", "")),
        ("PORT", _port),
    ),
    "ZoneEgress": (
        ("ZONE", lambda item: item.get("zone", "")),
        ("ADDRESS", lambda item: _networking(item).get("address", "")),
        ("PORT", _port),
    ),
    "MeshTrafficPermission": (("TARGETREF KIND", _target("kind")), ("TARGETREF NAME", _target("name"))),
}
