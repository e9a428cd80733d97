from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509

from kumacp.identity.signing_keys import KeyRing, TokenKind
from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.api import Conflict, NotFound
from kumacp.store.memory import MemoryStore
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Health, Inbound, Networking
from kumamesh.resources.insight import DataplaneInsight
from kumamesh.resources.mesh import (
    ConstraintRule,
    Constraints,
    DataplaneProxyConstraints,
    Mesh,
    Mtls,
    MtlsBackend,
)
from kumamesh.resources.permission import MeshTrafficPermission, TrafficPermission
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.resources.zone import ZoneIngress

MESH = ResourceKey("Mesh", "", "default")
BUILTIN = MtlsBackend(name="ca-1", type="builtin")
MTLS = Mesh(mtls=Mtls(enabled_backend="ca-1", backends=(BUILTIN,)))


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def manager(store: MemoryStore) -> ResourceManager:
    return ResourceManager(store, CpSettings(zone_name="east"))


def dataplane(name: str = "web-1", mesh: str = "default", **inbound: object) -> Resource:
    tags = {"kuma.io/service": "web"}
    networking = Networking(address="10.0.0.1", inbound=(Inbound(port=80, tags=tags, **inbound),))
    return Resource(ResourceKey("Dataplane", mesh, name), Dataplane(networking=networking))


async def names(store: MemoryStore, type_: str) -> list[str]:
    return [each.name for each in await store.list(type_)]


async def bare_mesh(store: MemoryStore, spec: Mesh | None = None) -> Resource:
    """A mesh without what comes with it, whose keys take time to make."""
    return await store.create(Resource(MESH, spec or Mesh()))


def refused(error: pytest.ExceptionInfo[InvalidResource]) -> list[tuple[str, str]]:
    return [(violation.field, violation.message) for violation in error.value.violations]


async def test_new_mesh_brings_signing_key_authority_and_permission(
    store: MemoryStore, manager: ResourceManager
) -> None:
    with store.watch() as feed:
        result = await manager.put(Resource(MESH, MTLS))
        batch = await anext(aiter(feed))
    assert (result.created, result.warnings) == (True, ())
    assert [change.key.name for change in batch] == [
        "default",
        "dataplane-token-signing-key-default-1",
        "default.ca-builtin-cert-ca-1",
        "default.ca-builtin-key-ca-1",
        "allow-all-default",
    ]
    assert KeyRing(await store.list("Secret")).latest(TokenKind.DATAPLANE, "default").kid == "1"
    certificate = await store.get(ResourceKey("Secret", "default", "default.ca-builtin-cert-ca-1"))
    subject = x509.load_pem_x509_certificate(certificate.spec.data).subject
    assert subject.rfc4514_string() == "CN=default,OU=Mesh,O=Kuma"
    permission = await store.get(ResourceKey("TrafficPermission", "default", "allow-all-default"))
    assert [dict(selector.match) for selector in permission.spec.sources + permission.spec.destinations] == [
        {"kuma.io/service": "*"},
        {"kuma.io/service": "*"},
    ]


@pytest.mark.parametrize(
    ("spec", "settings"),
    [
        (Mesh(skip_creating_initial_policies=("*",)), CpSettings()),
        (Mesh(skip_creating_initial_policies=("TrafficPermission",)), CpSettings()),
        (Mesh(), CpSettings(create_mesh_routing_resources=False)),
    ],
)
async def test_permission_can_be_declined(store: MemoryStore, spec: Mesh, settings: CpSettings) -> None:
    await ResourceManager(store, settings).put(Resource(MESH, spec))
    assert await names(store, "TrafficPermission") == []
    assert await names(store, "Secret") == ["dataplane-token-signing-key-default-1"]


async def test_turning_mtls_on_makes_the_authority_once(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    await manager.put(Resource(MESH, MTLS))
    made = await store.list("Secret")
    assert [each.name for each in made] == ["default.ca-builtin-cert-ca-1", "default.ca-builtin-key-ca-1"]
    await manager.put(Resource(MESH, Mesh()))
    await manager.put(Resource(MESH, MTLS))
    assert await store.list("Secret") == made


async def test_half_an_authority_is_made_anew(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    half = ResourceKey("Secret", "default", "default.ca-builtin-key-ca-1")
    await store.create(Resource(half, Secret(data=b"old")))
    await manager.put(Resource(MESH, MTLS))
    assert len(await store.list("Secret")) == 2
    assert (await store.get(half)).spec.data != b"old"


async def test_changing_the_authority_is_refused_and_nothing_is_stored(
    store: MemoryStore, manager: ResourceManager
) -> None:
    await bare_mesh(store, MTLS)
    other = MtlsBackend(name="ca-2", type="builtin")
    with pytest.raises(InvalidResource) as caught:
        await manager.put(Resource(MESH, Mesh(mtls=Mtls(enabled_backend="ca-2", backends=(other,)))))
    assert refused(caught)[0][0] == "mtls.enabledBackend"
    assert (await store.get(MESH)).spec == MTLS
    assert await names(store, "Secret") == []


async def test_mesh_with_dataplanes_is_kept(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    await manager.put(dataplane())
    with pytest.raises(InvalidResource) as caught:
        await manager.delete(MESH)
    assert refused(caught) == [("mesh", "unable to delete mesh, there are still some dataplanes attached")]
    await manager.delete(dataplane().key)
    await manager.delete(MESH)
    assert await names(store, "Mesh") == []


async def test_unsafe_delete_takes_the_dataplanes_along(store: MemoryStore) -> None:
    manager = ResourceManager(store, CpSettings(unsafe_delete=True))
    await bare_mesh(store)
    await manager.put(dataplane())
    await manager.delete(MESH)
    assert await names(store, "Dataplane") == []


async def test_mesh_must_exist(store: MemoryStore, manager: ResourceManager) -> None:
    with pytest.raises(InvalidResource) as caught:
        await manager.put(dataplane(mesh="nowhere"))
    assert refused(caught) == [("mesh", 'mesh "nowhere" does not exist')]
    assert await names(store, "Dataplane") == []


async def test_mesh_deleted_meanwhile_is_told_like_one_that_never_was() -> None:
    class Vanishing(MemoryStore):
        async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
            await self.delete(MESH)
            return await super().create(resource, owner=owner)

    store = Vanishing()
    await store.create_all([Resource(MESH, Mesh())])
    with pytest.raises(InvalidResource) as caught:
        await ResourceManager(store, CpSettings()).put(dataplane())
    assert refused(caught) == [("mesh", 'mesh "default" does not exist')]


async def test_dataplane_is_placed_and_keeps_its_creation_time(
    store: MemoryStore, manager: ResourceManager
) -> None:
    await bare_mesh(store)
    first = await manager.put(dataplane())
    second = await manager.put(dataplane(state="NotReady"))
    assert (first.created, second.created) == (True, False)
    assert second.resource.creation_time == first.resource.creation_time
    assert second.resource.labels["kuma.io/zone"] == "east"
    assert second.resource.spec.networking.inbound[0].tags["kuma.io/zone"] == "east"


async def test_put_without_a_change_writes_nothing(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    first = await manager.put(dataplane())
    again = await manager.put(dataplane())
    assert again.resource == first.resource


async def test_zone_proxies_are_placed_without_a_mesh(manager: ResourceManager) -> None:
    result = await manager.put(Resource(ResourceKey("ZoneIngress", "", "zi"), ZoneIngress()))
    assert result.resource.spec.zone == "east"


async def test_global_control_plane_places_nothing(store: MemoryStore) -> None:
    await bare_mesh(store)
    result = await ResourceManager(store, CpSettings(mode="global")).put(dataplane())
    assert result.resource.labels == {
        "kuma.io/display-name": "web-1",
        "kuma.io/mesh": "default",
        "kuma.io/origin": "global",
    }


async def test_constraints_of_the_mesh_see_the_zone_tag(store: MemoryStore, manager: ResourceManager) -> None:
    rules = DataplaneProxyConstraints(requirements=(ConstraintRule(tags={"kuma.io/zone": "west"}),))
    await bare_mesh(store, Mesh(constraints=Constraints(dataplane_proxy=rules)))
    with pytest.raises(InvalidResource) as caught:
        await manager.put(dataplane())
    assert [field for field, _ in refused(caught)] == ["networking.inbound[0].tags"]


async def test_insight_lives_and_dies_with_its_proxy(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    insight = Resource(ResourceKey("DataplaneInsight", "default", "web-1"), DataplaneInsight())
    with pytest.raises(NotFound) as caught:
        await manager.put(insight)
    assert caught.value.key == dataplane().key
    await manager.put(dataplane())
    await manager.put(insight)
    await manager.delete(dataplane().key)
    assert await names(store, "DataplaneInsight") == []


async def test_secret_in_use_is_kept_others_go(store: MemoryStore, manager: ResourceManager) -> None:
    await manager.put(Resource(MESH, MTLS))
    await manager.put(Resource(ResourceKey("Secret", "default", "mine"), Secret(data=b"x")))
    with pytest.raises(InvalidResource) as caught:
        await manager.delete(ResourceKey("Secret", "default", "default.ca-builtin-cert-ca-1"))
    assert refused(caught)[0][0] == "name"
    await manager.delete(ResourceKey("Secret", "default", "mine"))
    await manager.put(Resource(MESH, Mesh()))
    await manager.delete(ResourceKey("Secret", "default", "default.ca-builtin-cert-ca-1"))


async def test_deleting_what_is_not_there_is_told(manager: ResourceManager) -> None:
    with pytest.raises(NotFound):
        await manager.delete(MESH)


async def test_named_version_must_still_be_there(store: MemoryStore, manager: ResourceManager) -> None:
    key = ResourceKey("GlobalSecret", "", "s")
    first = (await manager.put(Resource(key, GlobalSecret(data=b"1")))).resource
    second = (await manager.put(replace(first, spec=GlobalSecret(data=b"2")))).resource
    with pytest.raises(Conflict):
        await manager.put(replace(first, spec=GlobalSecret(data=b"3")))
    assert await store.get(key) == second
    await manager.delete(key)
    with pytest.raises(NotFound):
        await manager.put(second)


def racing_store(races: int) -> tuple[MemoryStore, Callable[[], int]]:
    """A store in which another writer is faster for so many updates."""
    lost = 0

    class Racing(MemoryStore):
        async def update(self, resource: Resource) -> Resource:
            nonlocal lost
            if lost < races:
                lost += 1
                present = await self.get(resource.key)
                await super().update(replace(present, spec=GlobalSecret(data=f"other {lost}".encode())))
            return await super().update(resource)

    return Racing(), lambda: lost


async def test_put_without_a_version_is_tried_again() -> None:
    store, lost = racing_store(3)
    key = ResourceKey("GlobalSecret", "", "s")
    await store.create(Resource(key, GlobalSecret(data=b"first")))
    result = await ResourceManager(store, CpSettings()).put(Resource(key, GlobalSecret(data=b"mine")))
    assert (result.resource.spec.data, lost()) == (b"mine", 3)


async def test_put_gives_up_when_others_are_always_faster() -> None:
    store, lost = racing_store(1_000)
    key = ResourceKey("GlobalSecret", "", "s")
    await store.create(Resource(key, GlobalSecret(data=b"first")))
    with pytest.raises(Conflict):
        await ResourceManager(store, CpSettings()).put(Resource(key, GlobalSecret(data=b"mine")))
    assert lost() == 10


async def test_two_creations_at_once_end_in_one_mesh(store: MemoryStore, manager: ResourceManager) -> None:
    async with asyncio.TaskGroup() as group:
        both = [group.create_task(manager.put(Resource(MESH, Mesh()))) for _ in range(2)]
    assert sorted(each.result().created for each in both) == [False, True]
    assert await names(store, "Secret") == ["dataplane-token-signing-key-default-1"]


async def test_warnings_name_what_is_deprecated_or_risky(
    store: MemoryStore, manager: ResourceManager
) -> None:
    await bare_mesh(store)
    old = dataplane("web_1", health=Health(ready=True))
    inbound = old.spec.networking.inbound[0]
    tags = {**inbound.tags, "kuma.io/zone": "west"}
    networking = old.spec.networking.model_copy(
        update={"inbound": (inbound.model_copy(update={"tags": tags}),)}
    )
    result = await manager.put(replace(old, spec=Dataplane(networking=networking)))
    assert [warning.split(":")[0] for warning in result.warnings] == [
        "name",
        "networking.inbound[0].health",
        "networking.inbound[0].tags",
    ]


async def test_mtls_without_any_permission_is_warned_of(store: MemoryStore, manager: ResourceManager) -> None:
    await bare_mesh(store)
    key = ResourceKey("MeshTrafficPermission", "default", "mtp")
    without_mtls = await manager.put(Resource(key, MeshTrafficPermission()))
    assert without_mtls.warnings == ("mesh 'default' has no mTLS, so that permissions have no effect in it",)
    assert (await manager.put(Resource(MESH, MTLS))).warnings == ()
    await manager.delete(key)
    (warning,) = (await manager.put(Resource(MESH, MTLS))).warnings
    assert warning.startswith("mtls: every request in mesh 'default' is denied")
    key = ResourceKey("TrafficPermission", "default", "tp")
    assert (await manager.put(Resource(key, TrafficPermission()))).warnings == ()
