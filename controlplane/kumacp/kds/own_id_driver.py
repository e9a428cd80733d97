"""Random ids that tell a store from every other one, kept in it as Configs."""

from __future__ import annotations

import uuid

from kumacp.store.api import Conflict, NotFound, Store
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config

STORE_ID = "kuma-store-id"
"""Of a zone: two control planes with one zone name and different stores must not both be believed."""


async def ensure_id(store: Store, name: str) -> str:
    """The id in the Config of that name, made when there is none; raises StoreUnavailable."""
    key = ResourceKey("Config", "", name)
    while True:
        try:
            return str((await store.get(key)).spec.config)
        except NotFound:
            try:
                await store.create(Resource(key, Config(config=str(uuid.uuid4()))))
            except Conflict:
                continue
