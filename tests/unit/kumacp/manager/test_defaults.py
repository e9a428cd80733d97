from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kumacp.defaults_driver import ensure_defaults
from kumacp.identity.admin_ca import from_secret_data
from kumacp.identity.signing_keys import KeyRing, TokenKind
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.api import StoreUnavailable
from kumacp.store.memory import MemoryStore
from kumamesh.errors import UserError
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret
from kumamesh.tokens import SigningKey, ZoneClaims, generate_signing_key, issue, public_pem

NOW = datetime(2025, 1, 1, tzinfo=UTC)
GLOBAL_SECRETS = [
    "admin-user-token",
    "envoy-admin-ca",
    "user-token-signing-key-1",
    "zone-token-signing-key-1",
]


def key(name: str) -> ResourceKey:
    return ResourceKey("GlobalSecret", "", name)


async def start(store: MemoryStore, settings: CpSettings = CpSettings()) -> None:  # noqa: B008  # frozen
    manager = ResourceManager(store, settings, now=lambda: NOW)
    await ensure_defaults(store, manager, settings, now=lambda: NOW)


async def everything(store: MemoryStore) -> list[Resource]:
    types = ("GlobalSecret", "Mesh", "Secret", "TrafficPermission")
    return [resource for type_ in types for resource in await store.list(type_)]


async def test_first_start_makes_everything_and_the_second_nothing() -> None:
    store = MemoryStore()
    await start(store)
    made = await everything(store)
    assert [resource.name for resource in made] == [
        *GLOBAL_SECRETS,
        "default",
        "dataplane-token-signing-key-default-1",
        "allow-all-default",
    ]
    await start(store)
    assert await everything(store) == made


async def test_admin_token_is_genuine_and_the_authority_readable() -> None:
    store = MemoryStore()
    await start(store)
    token = (await store.get(key("admin-user-token"))).spec.data.decode()
    claims = KeyRing(await store.list("GlobalSecret")).verify_user(token, NOW.timestamp())
    assert (claims.name, claims.groups) == ("mesh-system:admin", ("mesh-system:admin",))
    assert from_secret_data((await store.get(key("envoy-admin-ca"))).spec.data).certificate


async def test_settings_leave_out_token_and_mesh() -> None:
    store = MemoryStore()
    await start(store, CpSettings(api_bootstrap_admin_token=False, skip_mesh_creation=True))
    assert [resource.name for resource in await everything(store)] == GLOBAL_SECRETS[1:]


async def test_a_zone_with_a_global_control_plane_makes_only_what_is_its_own() -> None:
    store = MemoryStore()
    await start(store, CpSettings(zone_name="zone-1", zone_global_address="grpcs://global:5685"))
    made = [resource.name for resource in await everything(store)]
    assert made == ["admin-user-token", "envoy-admin-ca", "user-token-signing-key-1"]


async def test_a_zone_that_left_its_global_believes_the_tokens_that_its_proxies_have() -> None:
    store = MemoryStore()
    of_global = SigningKey("1", generate_signing_key())
    public = Resource(
        key("zone-token-signing-public-key-1"), GlobalSecret(data=public_pem(of_global.private_pem))
    )
    await store.create(replace(public, labels={"kuma.io/origin": "global"}))
    token = issue(ZoneClaims(zone="zone-1", scope=("ingress",)), of_global, now=NOW.timestamp())
    await start(store)
    keys = KeyRing(await store.list("GlobalSecret"))
    assert keys.verify_zone(token, NOW.timestamp()).zone == "zone-1"
    own = issue(
        ZoneClaims(zone="zone-1", scope=("ingress",)), keys.latest(TokenKind.ZONE), now=NOW.timestamp()
    )
    assert keys.verify_zone(own, NOW.timestamp()).zone == "zone-1"


async def test_a_global_control_plane_makes_no_admin_authority() -> None:
    store = MemoryStore()
    await start(store, CpSettings(mode="global"))
    made = await everything(store)
    assert [resource.name for resource in made] == [
        "admin-user-token",
        "user-token-signing-key-1",
        "zone-token-signing-key-1",
        "default",
        "dataplane-token-signing-key-default-1",
        "allow-all-default",
    ]
    for resource in made:
        assert resource.labels["kuma.io/origin"] == "global"
        assert resource.labels["kuma.io/display-name"] == resource.name


async def test_start_that_was_cut_short_is_finished_by_the_next() -> None:
    class Dying(MemoryStore):
        lives = 0

        async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
            self.lives -= 1
            if self.lives < 0:
                raise StoreUnavailable("killed")
            return await super().create(resource, owner=owner)

    store = Dying()
    for lives in (1, 2):
        store.lives = lives
        with pytest.raises(UserError, match="cannot be made: killed"):
            await start(store)
    store.lives = 100
    await start(store)
    assert [resource.name for resource in await store.list("GlobalSecret")] == GLOBAL_SECRETS
    token = (await store.get(key("admin-user-token"))).spec.data.decode()
    assert KeyRing(await store.list("GlobalSecret")).verify_user(token, NOW.timestamp()).name


async def test_rotated_key_is_not_made_again() -> None:
    store = MemoryStore()
    await start(store)
    old = await store.get(key("zone-token-signing-key-1"))
    await store.delete(old.key)
    await store.create(Resource(key("zone-token-signing-key-2"), GlobalSecret(data=old.spec.data)))
    await start(store)
    assert "zone-token-signing-key-1" not in [each.name for each in await store.list("GlobalSecret")]


async def test_key_of_no_use_is_named() -> None:
    store = MemoryStore()
    await store.create(Resource(key("user-token-signing-key-1"), GlobalSecret(data=b"rubbish")))
    with pytest.raises(UserError, match="user-token-signing-key-1 holds no RSA private key"):
        await start(store)
