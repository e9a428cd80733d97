"""Lists of resources as tables; the columns are Kuma's (kuma-cp 8.3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from kumactl.ages import age, parse_time
from kumactl.answer import Item, entries, flag, text
from kumactl.table import Table
from kumactl.tags import inbound_tags, own_tags
from kumamesh.resources.registry import ResourceType

Column = tuple[str, Callable[[Item], str]]


def resource_table(type_: ResourceType, items: Sequence[Item], offset: str, now: datetime) -> Table:
    """The table of a page of resources; the next page begins at `offset`, if there is one."""
    columns: list[Column] = [("MESH", lambda item: text(item, "mesh"))] if type_.mesh_scoped else []
    columns += [("NAME", lambda item: text(item, "name")), *_SPECIAL.get(type_.name, ())]
    columns.append(("AGE", lambda item: _age(item, now)))
    rows = [[read(item) for _, read in columns] for item in items]
    more = f"Rerun command with --offset={offset} argument to retrieve more resources"
    return Table([title for title, _ in columns], rows, more if offset else "")


def _age(item: Item, now: datetime) -> str:
    """Time since the last change, as Kuma counts it. Nothing for what the control plane computes."""
    changed = text(item, "modificationTime")
    return age(changed, now) if parse_time(changed) else ""


def _address(item: Item) -> str:
    return text(item, "networking", "advertisedAddress") or text(item, "networking", "address")


def _enabled_backend(kind: str) -> Callable[[Item], str]:
    """`type/name` of the backend that is switched on."""

    def read(item: Item) -> str:
        enabled = text(item, kind, "enabledBackend")
        found = [_backend(each) for each in entries(item, kind, "backends") if text(each, "name") == enabled]
        return found[0] if enabled and found else "off"

    return read


def _backends(kind: str) -> Callable[[Item], str]:
    """Every backend as `type/name`: which of them is used, each policy says."""
    return lambda item: ", ".join(_backend(each) for each in entries(item, kind, "backends")) or "off"


def _backend(backend: Item) -> str:
    return f"{text(backend, 'type')}/{text(backend, 'name')}"


def _switch(key: str) -> Callable[[Item], str]:
    return lambda item: "on" if flag(item, "routing", key) else "off"


_SPECIAL: Mapping[str, tuple[Column, ...]] = {
    "Mesh": (
        ("mTLS", _enabled_backend("mtls")),
        ("METRICS", _enabled_backend("metrics")),
        ("LOGGING", _backends("logging")),
        ("TRACING", _backends("tracing")),
        ("LOCALITY", _switch("localityAwareLoadBalancing")),
        ("ZONEEGRESS", _switch("zoneEgress")),
    ),
    "Dataplane": (
        ("TAGS", inbound_tags),
        ("ADDRESS", _address),
    ),
    "ExternalService": (
        ("TAGS", own_tags),
        ("ADDRESS", _address),
    ),
}
