"""What a command is about: found by its name, by the name that people gave it, or told to be missing.

What came from another control plane has a name with a suffix that nobody knows by heart; the name that people
gave it is a label.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

from kumactl.answer import Item, plain, text
from kumactl.client import Client
from kumactl.failure import Refused
from kumactl.resource_paths import collection_path, item_path, missing
from kumamesh.errors import UserError
from kumamesh.names import DISPLAY_NAME_LABEL, ZONE_LABEL
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import TYPES

T = TypeVar("T")
MOST_NAMESAKES = 10


def asked_of(client: Client, key: ResourceKey, ask: Callable[[str], T]) -> T:
    """What `ask` gets at the path of the resource; raises UserError that names it when it is missing, or when
    there are several with that display name."""
    try:
        return ask(item_path(key))
    except Refused as error:
        if error.status != 404 or _exists(client, key):
            raise
    return ask(item_path(_by_display_name(client, key)))


@contextmanager
def told_when_missing(client: Client, key: ResourceKey) -> Iterator[None]:
    """For requests at and below a resource: raises UserError that names it when it is the resource that is
    missing, and not what was asked of it."""
    try:
        yield
    except Refused as error:
        if error.status != 404 or _exists(client, key):
            raise
        raise UserError(missing(key)) from None


def told_when_mesh_missing(client: Client, mesh: str) -> AbstractContextManager[None]:
    """For lists of what is in a mesh."""
    return told_when_missing(client, ResourceKey("Mesh", "", mesh))


def _exists(client: Client, key: ResourceKey) -> bool:
    try:
        client.get(item_path(key))
    except Refused as error:
        return error.status != 404
    return True


def _by_display_name(client: Client, key: ResourceKey) -> ResourceKey:
    query = [(f"filter[labels.{DISPLAY_NAME_LABEL}]", key.name), ("size", str(MOST_NAMESAKES))]
    try:
        items = client.get_page(collection_path(TYPES[key.type], key.mesh), query)["items"]
    except Refused as error:
        if error.status >= 500:
            raise
        items = []
    # A control plane that knows no such filter answers with everything.
    namesakes = [item for item in items if text(item, "labels", DISPLAY_NAME_LABEL) == key.name]
    if not namesakes:
        raise UserError(missing(key))
    if len(namesakes) > 1:
        listed = ", ".join(_told(item) for item in namesakes)
        raise UserError(f'several {TYPES[key.type].plural} are called "{key.name}"; name one of {listed}')
    return key._replace(name=text(namesakes[0], "name"))


def _told(item: Item) -> str:
    zone = text(item, "labels", ZONE_LABEL)
    return plain(text(item, "name") + (f" (zone {zone})" if zone else ""))
