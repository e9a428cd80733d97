from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import stat
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

pytest.register_assert_rewrite("store_contract")

from kumacp.store import commit_worker  # noqa: E402
from kumacp.store.api import NotFound, StoreUnavailable  # noqa: E402
from kumacp.store.schema import metadata  # noqa: E402
from kumacp.store.sqlite import SqliteStore  # noqa: E402
from kumamesh.errors import UserError  # noqa: E402
from kumamesh.resource import Resource, ResourceKey  # noqa: E402
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking  # noqa: E402
from kumamesh.resources.mesh import Mesh, Mtls, MtlsBackend  # noqa: E402
from kumamesh.resources.secret import Secret  # noqa: E402
from store_contract import StoreContract, global_secret, mesh, secret  # noqa: E402

SUPPORT = Path(__file__).parents[2] / "support"


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2025, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(seconds=1)
        return self.moment


class TestSqliteStore(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = await SqliteStore.open(tmp_path / "kuma-cp.db", now=Clock())
        yield store
        await store.close()


def rich_resources() -> list[Resource]:
    backend = MtlsBackend(name="ca-1", type="builtin", conf={"caCert": {"RSAbits": 2048}})
    inbound = Inbound(port=80, tags={"kuma.io/service": "web"}, state="NotReady")
    return [
        Resource(
            ResourceKey("Mesh", "", "default"), Mesh(mtls=Mtls(enabled_backend="ca-1", backends=(backend,)))
        ),
        Resource(
            ResourceKey("Dataplane", "default", "web-1"),
            Dataplane(networking=Networking(address="10.0.0.1", inbound=(inbound,))),
            labels={"kuma.io/zone": "ö"},
        ),
        secret("s", bytes(range(256))),
    ]


async def test_everything_survives_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    store = await SqliteStore.open(path)
    created = list(await store.create_all(rich_resources()))
    owner = await store.create(global_secret("owner"))
    owned = await store.create(global_secret("owned"), owner=owner.key)
    created[2] = await store.update(replace(created[2], spec=Secret(data=b"changed")))
    await store.close()

    store = await SqliteStore.open(path)
    assert [await store.get(each.key) for each in created] == created
    await store.delete(owner.key)
    await store.close()

    store = await SqliteStore.open(path)
    with pytest.raises(NotFound):
        await store.get(owned.key)
    await store.close()


async def test_killed_writer_loses_no_acknowledged_write(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    acknowledged: list[str] = []
    for run in range(3):
        writer = await asyncio.create_subprocess_exec(
            sys.executable,
            str(SUPPORT / "store_writer.py"),
            str(path),
            str(run),
            stdout=asyncio.subprocess.PIPE,
        )
        assert writer.stdout is not None
        acknowledged += [(await writer.stdout.readline()).decode().strip() for _ in range(100 + 37 * run)]
        writer.send_signal(signal.SIGKILL)
        # The last line may be cut off: it was not acknowledged whole.
        rest = (await writer.stdout.read()).decode().split("\n")[:-1]
        acknowledged += rest
        await writer.wait()
    store = await SqliteStore.open(path)
    present = {each.name for each in await store.list("Secret")}
    await store.close()
    assert len(acknowledged) > 400
    assert set(acknowledged) <= present


async def test_tables_are_what_the_code_expects(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    await (await SqliteStore.open(path)).close()
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
    engine.dispose()


async def test_writes_that_wait_together_share_a_commit(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    commits: list[object] = []
    sqlalchemy.event.listen(store._engine.sync_engine, "commit", commits.append)
    with store.watch() as feed:
        async with asyncio.TaskGroup() as group:
            for number in range(commit_worker.MAX_WAITING + 10):
                group.create_task(store.create(secret(f"s-{number}")))
        batches = aiter(feed)
        seen = [(await anext(batches))[0].key.name for _ in range(commit_worker.MAX_WAITING + 10)]
    await store.close()
    assert seen == [f"s-{number}" for number in range(commit_worker.MAX_WAITING + 10)]
    assert len(commits) <= 10


async def test_cancelled_caller_leaves_feed_and_database_in_step(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    with store.watch() as feed:
        async with asyncio.TaskGroup() as group:
            cancelled = [group.create_task(store.create(secret(f"s-{number}"))) for number in range(50)]
            await store.create(secret("first"))
            for each in cancelled:
                each.cancel()
        await store.create(secret("last"))
        told = set()
        async for batch in feed:
            told |= {change.key.name for change in batch}
            if "last" in told:
                break
    await store.close()
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    assert {each.name for each in await store.list("Secret")} == told
    await store.close()


async def test_close_finishes_what_was_begun(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    async with asyncio.TaskGroup() as group:
        begun = asyncio.Event()

        async def write() -> None:
            begun.set()
            await store.create(secret("s"))

        group.create_task(write())
        await begun.wait()
        await store.close()
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    assert [each.name for each in await store.list("Secret")] == ["s"]
    await store.close()


async def test_database_that_cannot_be_written_refuses_and_recovers(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    store = await SqliteStore.open(path)
    await store.create(secret("before"))
    limit = sqlite3.connect(path)
    limit.execute(
        "CREATE TRIGGER full BEFORE INSERT ON resources BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    )
    with pytest.raises(StoreUnavailable, match="disk full"):
        await store.create(secret("refused"))
    with pytest.raises(NotFound):
        await store.get(secret("refused").key)
    limit.execute("DROP TRIGGER full")
    limit.close()
    await store.create(secret("after"))
    assert [each.name for each in await store.list("Secret")] == ["after", "before"]
    await store.close()


async def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "new" / "kuma-cp.db"
    old_mask = os.umask(0)
    try:
        store = await SqliteStore.open(path)
        await store.create(secret("s"))
        modes = {each.name: stat.S_IMODE(each.stat().st_mode) for each in path.parent.iterdir()}
        directory = stat.S_IMODE(path.parent.stat().st_mode)
    finally:
        os.umask(old_mask)
    await store.close()
    assert set(modes) >= {"kuma-cp.db", "kuma-cp.db-wal"}
    assert set(modes.values()) == {0o600}
    assert directory == 0o700


async def test_open_file_of_somebody_elses_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    path.touch(0o644)
    await (await SqliteStore.open(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_durability_is_what_sqlite_offers_most(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "kuma-cp.db")
    pragmas = []
    for name in ("journal_mode", "synchronous"):
        result = await store._connection.exec_driver_sql(f"PRAGMA {name}")
        pragmas.append(result.scalar_one())
    await store._connection.rollback()
    await store.close()
    assert pragmas == ["wal", 2]


async def test_newer_schema_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    await (await SqliteStore.open(path)).close()
    with sqlite3.connect(path) as database:
        database.execute("UPDATE alembic_version SET version_num = '9999'")
    database.close()
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"newer kuma-cp \(schema 9999\).*KUMA_GENERAL_WORK_DIR"):
        await SqliteStore.open(path)
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"this is no database, but long enough to be one" * 20, b"SQLite format 3\x00" + b"\xff" * 5000],
)
async def test_damaged_file_is_one_clear_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kuma-cp.db"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        await SqliteStore.open(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == content


async def test_file_with_a_damaged_page_is_found_at_start(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    store = await SqliteStore.open(path)
    await store.create_all([mesh(), *(secret(f"s-{number}", b"x" * 500) for number in range(200))])
    await store.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = b"\xa5" * 8192
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot use the database"):
        await SqliteStore.open(path)


async def test_place_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"file is not a directory.*KUMA_GENERAL_WORK_DIR"):
        await SqliteStore.open(tmp_path / "file" / "kuma-cp.db")
    (tmp_path / "kuma-cp.db").mkdir()
    with pytest.raises(UserError, match="Is a directory"):
        await SqliteStore.open(tmp_path / "kuma-cp.db")


async def test_second_process_is_kept_out_until_the_first_has_closed(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    first = await SqliteStore.open(path)
    with pytest.raises(UserError, match="in use by another kuma-cp"):
        await SqliteStore.open(path)
    await first.close()
    await (await SqliteStore.open(path)).close()


async def test_its_size_on_disk_is_known(tmp_path: Path) -> None:
    path = tmp_path / "kuma-cp.db"
    store = await SqliteStore.open(path)
    before = store.size
    await store.create(mesh())
    await store.create(secret("large", bytes(2**20)))
    assert store.size > before + 2**20
    await store.close()
    assert store.size == path.stat().st_size
