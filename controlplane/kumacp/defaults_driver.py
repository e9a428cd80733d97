"""What a control plane makes at its first start and repairs at every later one (kuma-cp 2.5, contract 7.2).

A global control plane has no proxies whose Envoys it would ask, so it needs no admin CA. A zone that has a
global one takes meshes and the keys of zone tokens from there. Users belong to each control plane.

Each thing is looked for and made by itself, what others need before them: a start that was cut short is
finished by the next one.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from kumacp.identity.admin_ca import ADMIN_CA_SECRET, create_admin_ca, to_secret_data
from kumacp.identity.signing_keys import (
    ADMIN_TOKEN_SECRET,
    KeyRing,
    SigningKeyNotFound,
    TokenKind,
    signing_key_name,
)
from kumacp.manager.resource_driver import ResourceManager
from kumacp.mode import role
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store, StoreUnavailable
from kumacp.store.memory import utc_now
from kumamesh.errors import UserError
from kumamesh.names import DEFAULT_MESH
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.secret import GlobalSecret
from kumamesh.tokens import SigningKey, UserClaims, generate_signing_key, issue

ADMIN_USER = ADMIN_GROUP = "mesh-system:admin"
_LOG = logging.getLogger(__name__)


async def ensure_defaults(
    store: Store, manager: ResourceManager, settings: CpSettings, *, now: Callable[[], datetime] = utc_now
) -> None:
    """Make what is missing; raises UserError when it cannot be written, or what is there is of no use."""
    here = role(settings)
    try:
        if not here.federated:
            await _signing_key(store, manager, TokenKind.ZONE)
        await _ensure_users(store, manager, settings, now)
        if not here.is_global and not await _exists(store, _global(ADMIN_CA_SECRET)):
            ca = await asyncio.to_thread(create_admin_ca, now())
            await _put_secret(manager, ADMIN_CA_SECRET, to_secret_data(ca))
        if not (here.federated or settings.skip_mesh_creation):
            await _ensure_mesh(store, manager)
    except StoreUnavailable as error:
        raise UserError(f"the first resources cannot be made: {error}; make room and start again") from None


async def _ensure_users(
    store: Store, manager: ResourceManager, settings: CpSettings, now: Callable[[], datetime]
) -> None:
    """The key of their tokens, and the first token."""
    key = await _signing_key(store, manager, TokenKind.USER)
    if settings.api_bootstrap_admin_token and not await _exists(store, _global(ADMIN_TOKEN_SECRET)):
        claims = UserClaims(name=ADMIN_USER, groups=(ADMIN_GROUP,))
        token = issue(claims, key, now=now().timestamp())
        await _put_secret(manager, ADMIN_TOKEN_SECRET, token.encode())


async def _ensure_mesh(store: Store, manager: ResourceManager) -> None:
    key = ResourceKey("Mesh", "", DEFAULT_MESH)
    if not await _exists(store, key):
        await manager.put(Resource(key, Mesh()))
        _LOG.info("created Mesh %s", DEFAULT_MESH)


async def _signing_key(store: Store, manager: ResourceManager, kind: TokenKind) -> SigningKey:
    """The key to sign with; made when there is none. Tokens that a global control plane made before this zone
    left it hold on, so the key does not take the number of one of its keys."""
    ring = KeyRing(await store.list("GlobalSecret"))
    try:
        return ring.latest(kind)
    except SigningKeyNotFound:
        known = ring.zone_keys() if kind is TokenKind.ZONE else ()
        serial = 1 + max(map(int, known), default=0)
        name = signing_key_name(kind, serial)
    if await _exists(store, _global(name)):
        raise UserError(
            f"the GlobalSecret {name} holds no RSA private key in PEM form; delete it and start again"
        )
    pem = await asyncio.to_thread(generate_signing_key)
    await _put_secret(manager, name, pem)
    return SigningKey(str(serial), pem)


async def _put_secret(manager: ResourceManager, name: str, data: bytes) -> None:
    await manager.put(Resource(_global(name), GlobalSecret(data=data)))
    _LOG.info("created GlobalSecret %s", name)


async def _exists(store: Store, key: ResourceKey) -> bool:
    try:
        await store.get(key)
    except NotFound:
        return False
    return True


def _global(name: str) -> ResourceKey:
    return ResourceKey("GlobalSecret", "", name)
