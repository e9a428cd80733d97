"""What every store must do. Subclass it in a test module and give it a fixture `store`."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import replace

import pytest

from kumacp.store.api import Change, Conflict, FeedOverrun, NotFound, Operation, Store, StoreUnavailable
from kumacp.store.feed import MAX_BEHIND
from kumamesh.resource import NEVER, Resource, ResourceKey
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.secret import GlobalSecret, Secret

MESH = ResourceKey("Mesh", "", "default")


def mesh(name: str = "default") -> Resource:
    return Resource(ResourceKey("Mesh", "", name), Mesh())


def secret(name: str, data: bytes = b"x", *, mesh: str = "default") -> Resource:
    return Resource(ResourceKey("Secret", mesh, name), Secret(data=data))


def global_secret(name: str, data: bytes = b"x") -> Resource:
    return Resource(ResourceKey("GlobalSecret", "", name), GlobalSecret(data=data))


async def names(store: Store, type_: str, mesh: str | None = None) -> list[str]:
    return [resource.name for resource in await store.list(type_, mesh)]


class StoreContract:
    async def test_created_resource_is_read_back(self, store: Store) -> None:
        stored = await store.create(replace(secret("s", b"\x00\xff"), labels={"a": "b"}))
        assert await store.get(stored.key) == stored
        assert (stored.spec.data, stored.labels, stored.version) == (b"\x00\xff", {"a": "b"}, 1)
        assert stored.creation_time == stored.modification_time > NEVER

    async def test_what_is_not_there_is_not_found(self, store: Store) -> None:
        for attempt in (store.get(MESH), store.delete(MESH), store.update(mesh())):
            with pytest.raises(NotFound) as caught:
                await attempt
            assert caught.value.key == MESH

    async def test_creating_twice_conflicts_and_changes_nothing(self, store: Store) -> None:
        first = await store.create(secret("s", b"1"))
        with pytest.raises(Conflict):
            await store.create(secret("s", b"2"))
        assert await store.get(first.key) == first

    async def test_update_keeps_the_creation_time_and_counts(self, store: Store) -> None:
        first = await store.create(secret("s", b"1"))
        second = await store.update(replace(first, spec=Secret(data=b"2"), labels={"k": "v"}))
        assert (second.version, second.spec.data, second.labels) == (2, b"2", {"k": "v"})
        assert second.creation_time == first.creation_time
        assert second.modification_time > first.modification_time
        assert await store.get(first.key) == second

    async def test_update_of_an_old_version_conflicts(self, store: Store) -> None:
        first = await store.create(secret("s", b"1"))
        second = await store.update(replace(first, spec=Secret(data=b"2")))
        with pytest.raises(Conflict):
            await store.update(replace(first, spec=Secret(data=b"3")))
        assert await store.get(first.key) == second

    async def test_update_without_a_change_commits_nothing(self, store: Store) -> None:
        first = await store.create(replace(secret("s", b"1"), labels={"a": "b"}))
        with store.watch() as feed:
            assert await store.update(replace(first, spec=Secret(data=b"1"), labels={"a": "b"})) == first
            last = await store.create(secret("last"))
            assert [change.key for change in await anext(aiter(feed))] == [last.key]
        assert (await store.get(first.key)).version == 1

    async def test_stored_resource_does_not_follow_the_callers_labels(self, store: Store) -> None:
        labels = {"a": "b"}
        stored = await store.create(replace(secret("s"), labels=labels))
        labels["a"] = "changed"
        assert (await store.get(stored.key)).labels == {"a": "b"}

    async def test_list_is_sorted_and_can_be_of_one_mesh(self, store: Store) -> None:
        for mesh_name, name in (("b", "z"), ("a", "y"), ("b", "a"), ("a", "x")):
            await store.create(secret(name, mesh=mesh_name))
        await store.create(global_secret("g"))
        keys = [(each.mesh, each.name) for each in await store.list("Secret")]
        assert keys == [("a", "x"), ("a", "y"), ("b", "a"), ("b", "z")]
        assert await names(store, "Secret", "b") == ["a", "z"]
        assert await names(store, "Secret", "none") == []
        assert await names(store, "Dataplane") == []

    async def test_same_name_in_two_meshes_are_two_resources(self, store: Store) -> None:
        await store.create(secret("s", b"1", mesh="a"))
        await store.create(secret("s", b"2", mesh="b"))
        await store.delete(ResourceKey("Secret", "a", "s"))
        assert (await store.get(ResourceKey("Secret", "b", "s"))).spec.data == b"2"

    async def test_recreated_resource_starts_anew(self, store: Store) -> None:
        first = await store.create(secret("s", b"1"))
        await store.update(replace(first, spec=Secret(data=b"2")))
        await store.delete(first.key)
        again = await store.create(secret("s", b"3"))
        assert again.version == 1
        assert again.creation_time > first.creation_time

    async def test_create_all_is_all_or_none(self, store: Store) -> None:
        await store.create(secret("b"))
        with store.watch() as feed:
            with pytest.raises(Conflict) as caught:
                await store.create_all([secret("a"), secret("b"), secret("c")])
            assert caught.value.key.name == "b"
            with pytest.raises(Conflict):
                await store.create_all([secret("a"), secret("a")])
            await store.create_all([mesh(), secret("c")])
            assert [change.key.name for change in await anext(aiter(feed))] == ["default", "c"]
        assert await names(store, "Secret") == ["b", "c"]

    async def test_mesh_takes_all_of_its_mesh_with_it(self, store: Store) -> None:
        await store.create_all([mesh(), mesh("other"), secret("s"), secret("kept", mesh="other")])
        await store.create(global_secret("kept"))
        with store.watch() as feed:
            await store.delete(MESH)
            batch = await anext(aiter(feed))
        assert [(change.operation, change.key.name) for change in batch] == [
            (Operation.DELETE, "s"),
            (Operation.DELETE, "default"),
        ]
        assert [change.new for change in batch] == [None, None]
        assert await names(store, "Secret") == ["kept"]
        assert await names(store, "Mesh") == ["other"]
        assert await names(store, "GlobalSecret") == ["kept"]

    async def test_owner_takes_what_it_owns_with_it_to_any_depth(self, store: Store) -> None:
        top = await store.create(global_secret("top"))
        middle = await store.create(global_secret("middle"), owner=top.key)
        await store.create(secret("bottom"), owner=middle.key)
        await store.create(secret("bystander"))
        await store.delete(top.key)
        assert await names(store, "GlobalSecret") == []
        assert await names(store, "Secret") == ["bystander"]

    async def test_delete_of_one_version_spares_every_other(self, store: Store) -> None:
        first = await store.create(secret("s", b"1"))
        second = await store.update(replace(first, spec=Secret(data=b"2")))
        with pytest.raises(Conflict):
            await store.delete(first.key, version=first.version)
        assert await store.get(first.key) == second
        await store.delete(first.key, version=second.version)
        with pytest.raises(NotFound):
            await store.delete(first.key, version=second.version)

    async def test_deleted_and_recreated_resource_has_lost_its_owner(self, store: Store) -> None:
        owner = await store.create(global_secret("owner"))
        owned = await store.create(global_secret("owned"), owner=owner.key)
        await store.delete(owned.key)
        await store.create(global_secret("owned"))
        await store.delete(owner.key)
        assert await names(store, "GlobalSecret") == ["owned"]

    async def test_owner_must_exist(self, store: Store) -> None:
        with pytest.raises(NotFound) as caught:
            await store.create(secret("s"), owner=MESH)
        assert caught.value.key == MESH
        assert await names(store, "Secret") == []

    async def test_feed_tells_every_subscriber_all_in_commit_order(self, store: Store) -> None:
        await store.create(secret("before"))
        with store.watch() as one, store.watch() as two:
            first = await store.create(secret("s", b"1"))
            second = await store.update(replace(first, spec=Secret(data=b"2")))
            await store.delete(first.key)
            expected = [
                (Change(Operation.CREATE, first.key, None, first),),
                (Change(Operation.UPDATE, first.key, first, second),),
                (Change(Operation.DELETE, first.key, second, None),),
            ]
            for feed in (one, two):
                batches = aiter(feed)
                assert [await anext(batches) for _ in expected] == expected

    async def test_feed_wakes_a_waiting_subscriber(self, store: Store) -> None:
        async def first_change() -> ResourceKey:
            with store.watch() as feed:
                watching.set()
                async for batch in feed:
                    return batch[0].key
            raise AssertionError("the feed ended")

        watching = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(first_change())
            await watching.wait()
            stored = await store.create(secret("s"))
        assert waiting.result() == stored.key

    async def test_subscriber_that_falls_behind_is_told(self, store: Store) -> None:
        with store.watch() as slow, store.watch() as quick:
            batches = aiter(quick)
            for part in range(MAX_BEHIND // 1_000 + 1):
                await store.create_all([secret(f"s-{part}-{each}") for each in range(1_000)])
                assert len(await anext(batches)) == 1_000
            with pytest.raises(FeedOverrun):
                await anext(aiter(slow))

    async def test_one_batch_larger_than_the_limit_is_no_overrun(self, store: Store) -> None:
        await store.create_all([mesh(), *(secret(f"s-{each}") for each in range(MAX_BEHIND + 1))])
        with store.watch() as feed:
            await store.delete(MESH)
            assert len(await anext(aiter(feed))) == MAX_BEHIND + 2

    async def test_concurrent_updates_of_one_version_let_one_win(self, store: Store) -> None:
        first = await store.create(secret("s", b"0"))

        async def attempt(number: int) -> bool:
            try:
                await store.update(replace(first, spec=Secret(data=str(number).encode() + b"!")))
            except Conflict:
                return False
            return True

        async with asyncio.TaskGroup() as group:
            attempts = [group.create_task(attempt(number)) for number in range(20)]
        assert sum(each.result() for each in attempts) == 1
        assert (await store.get(first.key)).version == 2

    async def test_concurrent_writers_lose_no_increment(self, store: Store) -> None:
        await store.create(secret("counter", b"0"))

        async def increment() -> None:
            for _ in range(10):
                while True:
                    present = await store.get(ResourceKey("Secret", "default", "counter"))
                    try:
                        await store.update(
                            replace(present, spec=Secret(data=str(int(present.spec.data) + 1).encode()))
                        )
                        break
                    except Conflict:
                        continue

        async with asyncio.TaskGroup() as group:
            for _ in range(8):
                group.create_task(increment())
        final = await store.get(ResourceKey("Secret", "default", "counter"))
        assert (final.spec.data, final.version) == (b"80", 81)

    async def test_concurrent_mesh_deletion_leaves_no_orphan(self, store: Store) -> None:
        await store.create(mesh())

        async def create(number: int) -> None:
            with suppress(NotFound):
                await store.create(secret(f"s-{number}"), owner=MESH)

        async with asyncio.TaskGroup() as group:
            for number in range(10):
                group.create_task(create(number))
            group.create_task(store.delete(MESH))
            for number in range(10, 20):
                group.create_task(create(number))
        assert await names(store, "Secret") == []

    async def test_feed_ends_and_writes_are_refused_after_close(self, store: Store) -> None:
        with store.watch() as feed:
            stored = await store.create(secret("s"))
            await store.close()
            assert [batch[0].key async for batch in feed] == [stored.key]
        with pytest.raises(StoreUnavailable):
            await store.create(secret("t"))
