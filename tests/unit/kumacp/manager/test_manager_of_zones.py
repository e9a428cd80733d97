"""What a global control plane and a federated zone make of writes: labels, Zones and what they own."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from kumacp.manager.resource_driver import ResourceManager
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound
from kumacp.store.memory import MemoryStore
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.insight import DataplaneInsight, KdsSubscription, ZoneInsight
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.permission import MeshTrafficPermission
from kumamesh.resources.secret import Secret
from kumamesh.resources.zone import Zone, ZoneIngress

NOW = datetime(2025, 1, 1, tzinfo=UTC)
GLOBAL = CpSettings(mode="global")
FEDERATED = CpSettings(zone_name="zone-1", zone_global_address="grpcs://global:5685")
MESH = ResourceKey("Mesh", "", "default")
ZONE = ResourceKey("Zone", "", "zone-1")
CONNECTED = (
    "zone",
    "unable to delete Zone, Zone CP is still connected, please shut it down first",
)


@pytest.fixture
async def store() -> MemoryStore:
    store = MemoryStore()
    await store.create(Resource(MESH, Mesh()))
    return store


def permission() -> Resource:
    return Resource(ResourceKey("MeshTrafficPermission", "default", "mtp-1"), MeshTrafficPermission())


def labelled(resource: Resource, **labels: str) -> Resource:
    return replace(resource, labels={f"kuma.io/{key}": value for key, value in labels.items()})


def refused(error: pytest.ExceptionInfo[InvalidResource]) -> list[tuple[str, str]]:
    return [(violation.field, violation.message) for violation in error.value.violations]


async def connect(store: MemoryStore, *, disconnected: bool = False) -> None:
    """The zone has been here, and is still unless told otherwise."""
    subscription = KdsSubscription(connect_time=NOW, disconnect_time=NOW if disconnected else None)
    insight = ZoneInsight(subscriptions=(subscription,))
    await store.create(Resource(ResourceKey("ZoneInsight", "", "zone-1"), insight), owner=ZONE)


@pytest.mark.parametrize(
    "resource",
    [
        permission(),
        Resource(ResourceKey("Secret", "default", "s-1"), Secret(data=b"x")),
    ],
)
async def test_global_marks_what_is_its_own(store: MemoryStore, resource: Resource) -> None:
    manager = ResourceManager(store, GLOBAL)
    given = replace(resource, labels={"team": "a"})
    first = (await manager.put(given)).resource
    assert first.labels == {
        "team": "a",
        "kuma.io/display-name": resource.name,
        "kuma.io/mesh": "default",
        "kuma.io/origin": "global",
    }
    again = await manager.put(replace(given, labels=dict(first.labels)))
    assert again.resource == first, "what was read can be written back"


@pytest.mark.parametrize(
    ("labels", "violation"),
    [
        ({"origin": "zone"}, ('labels["kuma.io/origin"]', "the origin label must be set to 'global'")),
        (
            {"display-name": "other"},
            (
                'labels["kuma.io/display-name"]',
                "must be 'mtp-1', which is set by this control plane",
            ),
        ),
        (
            {"zone": "zone-1"},
            ('labels["kuma.io/zone"]', "is set on resources that come from a zone; remove it"),
        ),
    ],
)
async def test_global_lets_nobody_claim_another_origin(
    store: MemoryStore, labels: dict[str, str], violation: tuple[str, str]
) -> None:
    with pytest.raises(InvalidResource) as caught:
        await ResourceManager(store, GLOBAL).put(labelled(permission(), **labels))
    assert refused(caught) == [violation]
    assert await store.list("MeshTrafficPermission") == []


async def test_a_zone_and_an_insight_carry_no_origin(store: MemoryStore) -> None:
    manager = ResourceManager(store, GLOBAL)
    zone = (await manager.put(Resource(ZONE, Zone(enabled=True)))).resource
    insight = await manager.put(Resource(ResourceKey("ZoneInsight", "", "zone-1"), ZoneInsight()))
    assert (zone.labels, insight.resource.labels) == ({}, {})


async def test_policies_written_in_a_federated_zone_are_of_that_zone(store: MemoryStore) -> None:
    manager = ResourceManager(store, FEDERATED)
    result = (await manager.put(permission())).resource
    assert result.labels == {
        "kuma.io/display-name": "mtp-1",
        "kuma.io/env": "universal",
        "kuma.io/mesh": "default",
        "kuma.io/origin": "zone",
        "kuma.io/zone": "zone-1",
    }
    with pytest.raises(InvalidResource) as caught:
        await manager.put(labelled(permission(), origin="global", zone="zone-2"))
    assert refused(caught) == [
        ('labels["kuma.io/origin"]', "the origin label must be set to 'zone'"),
        ('labels["kuma.io/zone"]', "must be 'zone-1', which is set by this control plane"),
    ]


async def test_a_proxy_never_takes_the_place_of_one_of_another_zone(store: MemoryStore) -> None:
    manager = ResourceManager(store, FEDERATED)
    own = Resource(ResourceKey("ZoneIngress", "", "ingress-xyz"), ZoneIngress())
    stranger = labelled(replace(own, spec=ZoneIngress(zone="zone-2")), origin="global", zone="zone-2")
    await store.create(stranger)
    with pytest.raises(InvalidResource) as caught:
        await manager.put(own)
    assert refused(caught) == [
        ("name", '"ingress-xyz" is a ZoneIngress of another zone; choose another name')
    ]
    assert (await store.get(own.key)).spec.zone == "zone-2"


async def test_a_zone_alone_adds_the_mesh_only(store: MemoryStore) -> None:
    result = await ResourceManager(store, CpSettings()).put(permission())
    assert result.resource.labels == {"kuma.io/mesh": "default"}


async def test_a_zone_that_no_control_plane_can_have_is_refused(store: MemoryStore) -> None:
    manager = ResourceManager(store, GLOBAL)
    with pytest.raises(InvalidResource) as caught:
        await manager.put(Resource(ResourceKey("Zone", "", "z" * 64), Zone()))
    assert [field for field, _ in refused(caught)] == ["name"]


async def test_a_zone_written_where_zones_mean_nothing_is_told(store: MemoryStore) -> None:
    (warning,) = (
        await ResourceManager(store, CpSettings()).put(Resource(ZONE, Zone(enabled=False)))
    ).warnings
    assert "have an effect on a global control plane only" in warning
    assert (await ResourceManager(store, GLOBAL).put(Resource(ZONE, Zone(enabled=False)))).warnings == ()


@pytest.mark.parametrize("enabled", [True, False])
async def test_a_connected_zone_cannot_be_deleted(store: MemoryStore, enabled: bool) -> None:
    await store.create(Resource(ZONE, Zone(enabled=enabled)))
    await connect(store)
    with pytest.raises(InvalidResource) as caught:
        await ResourceManager(store, GLOBAL).delete(ZONE)
    assert refused(caught) == [CONNECTED]
    assert await store.get(ZONE)
    await ResourceManager(store, replace(GLOBAL, unsafe_delete=True)).delete(ZONE)
    with pytest.raises(NotFound):
        await store.get(ZONE)


async def test_a_zone_that_is_gone_takes_along_all_that_it_brought(store: MemoryStore) -> None:
    manager = ResourceManager(store, GLOBAL)
    for name in ("zone-1", "zone-2"):
        owner = (await manager.put(Resource(ResourceKey("Zone", "", name), Zone(enabled=True)))).resource.key
        for resource in (
            Resource(ResourceKey("Dataplane", "default", f"dp-{name}"), Dataplane()),
            Resource(ResourceKey("DataplaneInsight", "default", f"dp-{name}"), DataplaneInsight()),
            Resource(ResourceKey("ZoneIngress", "", f"zi-{name}"), ZoneIngress(zone=name)),
            Resource(ResourceKey("MeshTrafficPermission", "default", f"p-{name}"), MeshTrafficPermission()),
        ):
            await store.create(resource, owner=owner)
    await connect(store, disconnected=True)
    await manager.delete(ZONE)
    left = [
        resource.name
        for type_ in ("Zone", "ZoneInsight", "Dataplane", "DataplaneInsight", "ZoneIngress")
        for resource in await store.list(type_)
    ]
    assert left == ["zone-2", "dp-zone-2", "dp-zone-2", "zi-zone-2"]
    assert [each.name for each in await store.list("MeshTrafficPermission")] == ["p-zone-2"]


async def test_a_zone_that_was_never_connected_is_deleted_and_a_missing_one_is_missing(
    store: MemoryStore,
) -> None:
    manager = ResourceManager(store, GLOBAL)
    await manager.put(Resource(ZONE, Zone()))
    await manager.delete(ZONE)
    with pytest.raises(NotFound):
        await manager.delete(ZONE)


async def test_meshes_are_told_of_zones_that_lack_something(store: MemoryStore) -> None:
    manager = ResourceManager(store, GLOBAL)
    for name in ("zone-1", "zone-2"):
        await manager.put(Resource(ResourceKey("Zone", "", name), Zone()))
    (warning,) = (await manager.put(Resource(MESH, Mesh()))).warnings
    assert warning.startswith("mtls: services of other zones cannot be reached")
