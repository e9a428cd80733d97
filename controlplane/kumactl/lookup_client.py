"""What is told when a control plane does not have what a command is about."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

from kumactl.client import Client
from kumactl.failure import Refused
from kumactl.resource_paths import item_path, missing
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey


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
