"""Filters and pages of lists (contract 9.2; kuma-cp 8.1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlencode

from kumacp.api.problem import LIST, Problem
from kumamesh.resource import Resource

DEFAULT_SIZE = 100
MAX_SIZE = 1000

_LABEL_FILTER = "filter[labels."
_GATEWAY_KINDS = ("true", "false", "builtin", "delegated")

Query = Sequence[tuple[str, str]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page:
    """Which part of a list is wanted."""

    size: int = DEFAULT_SIZE
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Filters:
    """What an item must have; `tags` must all be on one inbound, or on the gateway."""

    name: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    tags: tuple[tuple[str, str], ...] = ()
    gateway: str = ""

    def __bool__(self) -> bool:
        """Whether there are any: a list of ten thousand is not walked for nothing."""
        return bool(self.name or self.labels or self.tags or self.gateway)

    def accept(self, resource: Resource) -> bool:
        return (
            self.name in resource.name
            and all(resource.labels.get(key) == value for key, value in self.labels)
            and self._accept_tags(resource)
            and self._accept_gateway(resource)
        )

    def _accept_tags(self, resource: Resource) -> bool:
        if not self.tags:
            return True
        networking = resource.spec.networking
        holders = [inbound.tags for inbound in networking.inbound]
        if networking.gateway is not None:
            holders.append(networking.gateway.tags)
        return any(all(tags.get(key) == value for key, value in self.tags) for tags in holders)

    def _accept_gateway(self, resource: Resource) -> bool:
        if not self.gateway:
            return True
        gateway = resource.spec.networking.gateway
        if self.gateway in ("true", "false"):
            return (gateway is not None) == (self.gateway == "true")
        return gateway is not None and gateway.type.lower() == self.gateway


def parse_page(query: Query) -> Page:
    """Raises Problem 400."""
    values = dict(query)
    size = _number(values.get("size"), DEFAULT_SIZE)
    if size is None or not 1 <= size <= MAX_SIZE:
        shown = values["size"]
        raise Problem(400, LIST, f"Invalid page size of {shown}. Maximum page size is {MAX_SIZE}")
    offset = _number(values.get("offset"), 0)
    if offset is None or offset < 0:
        raise Problem(400, LIST, "Invalid offset")
    return Page(size, offset)


def parse_filters(query: Query, *, dataplanes: bool) -> Filters:
    """Raises Problem 400; `tag` and `gateway` are filters of data planes only."""
    name, gateway = "", ""
    labels: list[tuple[str, str]] = []
    tags: list[tuple[str, str]] = []
    for key, value in query:
        if key == "name":
            name = value
        elif key.startswith(_LABEL_FILTER) and key.endswith("]"):
            labels.append((key[len(_LABEL_FILTER) : -1], value))
        elif key == "tag" and dataplanes:
            tags.append(_tag(value))
        elif key == "gateway" and value and dataplanes:
            gateway = value.lower()
            if gateway not in _GATEWAY_KINDS:
                raise Problem(400, LIST, f"Invalid gateway filter. Use one of {', '.join(_GATEWAY_KINDS)}")
    return Filters(name, tuple(labels), tuple(tags), gateway)


def page_document(
    items: Iterable[T], page: Page, show: Callable[[T], Any], *, url: str, query: Query
) -> dict[str, Any]:
    """The list document. Only the items of the page are shown; `next` keeps the filters of this page."""
    everything = list(items)
    end = page.offset + page.size
    following = None
    if end < len(everything):
        kept = [(key, value) for key, value in query if key not in ("size", "offset")]
        following = f"{url}?{urlencode([*kept, ('offset', end), ('size', page.size)])}"
    return {
        "total": len(everything),
        "items": [show(item) for item in everything[page.offset : end]],
        "next": following,
    }


def _number(text: str | None, default: int) -> int | None:
    if text is None:
        return default
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _tag(text: str) -> tuple[str, str]:
    key, colon, value = text.partition(":")
    if not (key and colon and value):
        raise Problem(400, LIST, f"Invalid tag filter {text}. Write it as key:value")
    return key, value
