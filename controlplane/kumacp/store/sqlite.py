"""The default store: one SQLite file, one writer, reads from memory.

Reads are answered from the records that were loaded at start and committed since: measured, a read through
the database costs 0.4 ms and a list of 10,000 resources 0.3 s of the event loop; from memory 6 us and 1 ms.
The resources are shared with the subscribers of the change feed. A lock file keeps a second process out.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import URL, Connection, Row, delete, event, insert, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.sql.expression import bindparam

from kumacp.private_disk import private_folder
from kumacp.store.api import Feed, StoreUnavailable
from kumacp.store.commit_worker import CommitWorker
from kumacp.store.feed import ChangeFeed
from kumacp.store.memory import utc_now
from kumacp.store.migrate_disk import migrate
from kumacp.store.schema import from_row, resources, to_row
from kumacp.store.state import Record, State
from kumamesh.errors import UserError
from kumamesh.resource import Resource, ResourceKey

_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=5000", "foreign_keys=ON")
_UNREADABLE = "it holds resources that this version cannot read"
_DELETE = delete(resources).where(
    resources.c.type == bindparam("old_type"),
    resources.c.mesh == bindparam("old_mesh"),
    resources.c.name == bindparam("old_name"),
)


class SqliteStore:
    """Made by `open`, ended by `close`; acknowledged writes survive kill -9 and power loss."""

    def __init__(
        self,
        engine: AsyncEngine,
        connection: AsyncConnection,
        lock: int,
        state: State,
        now: Callable[[], datetime],
    ) -> None:
        self._engine = engine
        self._connection = connection
        self._lock = lock
        self._state = state
        self._feed = ChangeFeed()
        self._worker = CommitWorker(state, self._feed, self._persist, now)
        # Outlives the caller of `open`, and ends in `close`: no TaskGroup spans that.
        self._writing = asyncio.get_running_loop().create_task(self._worker.run(), name="store writer")

    @classmethod
    async def open(cls, path: Path, *, now: Callable[[], datetime] = utc_now) -> Self:
        """Open or create the database, bring it to the present schema and load it. Raises UserError."""
        path = path.expanduser().absolute()
        lock = _claim(path)
        engine = _engine(path)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_check)
                await connection.run_sync(migrate, database=str(path))
                state = await connection.run_sync(_load)
            return cls(engine, await engine.connect(), lock, state, now)
        except BaseException as error:
            await engine.dispose()
            os.close(lock)
            if isinstance(error, DBAPIError):
                raise UserError(_unusable(path, error.orig)) from None
            if isinstance(error, ValueError):
                raise UserError(_unusable(path, _UNREADABLE)) from None
            raise

    async def get(self, key: ResourceKey) -> Resource:
        return self._state.get(key)

    async def list(self, type_: str, mesh: str | None = None) -> list[Resource]:
        return self._state.list(type_, mesh)

    async def create(self, resource: Resource, *, owner: ResourceKey | None = None) -> Resource:
        outcome = await self._worker.submit(lambda draft: draft.create((resource,), owner))
        return outcome.resources[0]

    async def create_all(self, resources: Sequence[Resource]) -> Sequence[Resource]:
        return (await self._worker.submit(lambda draft: draft.create(resources))).resources

    async def update(self, resource: Resource) -> Resource:
        return (await self._worker.submit(lambda draft: draft.update(resource))).resources[0]

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        await self._worker.submit(lambda draft: draft.delete(key, version))

    def watch(self) -> AbstractContextManager[Feed]:
        return self._feed.watch()

    @property
    def writes(self) -> Mapping[str, int]:
        return self._feed.published

    @property
    def behind(self) -> int:
        return self._feed.behind

    @property
    def size(self) -> int:
        found = (Path(f"{self._engine.url.database}{suffix}") for suffix in ("", "-wal"))
        return sum(path.stat().st_size for path in found if path.exists())

    async def close(self) -> None:
        if self._writing.done():
            return
        self._worker.close()
        await self._writing
        self._feed.close()
        await self._connection.close()
        await self._engine.dispose()
        os.close(self._lock)

    async def _persist(self, written: Mapping[ResourceKey, Record | None]) -> None:
        rows = [to_row(record) for record in written.values() if record is not None]
        gone = [{f"old_{part}": value for part, value in key._asdict().items()} for key in written]
        try:
            async with self._connection.begin():
                await self._connection.execute(_DELETE, gone)
                if rows:
                    await self._connection.execute(insert(resources), rows)
        except DBAPIError as error:
            raise StoreUnavailable(f"the database cannot be written: {error.orig}") from None


def _claim(path: Path) -> int:
    """Create the file for its owner only and lock out other processes; the lock ends with the process. The
    lock is a file of its own: closing a descriptor of the database would drop SQLite's own locks."""
    try:
        private_folder(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        path.chmod(0o600)
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except FileExistsError:
        raise UserError(_unusable(path, f"{path.parent} is not a directory")) from None
    except OSError as error:
        raise UserError(_unusable(path, error.strerror)) from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        raise UserError(
            f"the database {path} is in use by another kuma-cp; stop it or set KUMA_GENERAL_WORK_DIR"
        ) from None
    return lock


def _engine(path: Path) -> AsyncEngine:
    engine = create_async_engine(
        URL.create("sqlite+aiosqlite", database=str(path)), pool_size=1, max_overflow=0
    )

    @event.listens_for(engine.sync_engine, "connect")
    def connected(connection: Any, _: object) -> None:
        # The driver's own BEGIN comes before the first write only and would leave DDL outside.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in _PRAGMAS:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begun(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _check(connection: Connection) -> None:
    """A damaged file is found now and not by a write at night; 1 ms per megabyte."""
    found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if found != "ok":
        raise DBAPIError.instance("PRAGMA quick_check", None, sqlite3.DatabaseError(found), sqlite3.Error)


def _load(connection: Connection) -> State:
    """Row by row: of the texts nothing is left but what is read."""
    return State(_record(row) for row in connection.execute(select(resources)))


def _record(row: Row[Any]) -> Record:
    """Raises ValueError; what is wrong in the row stays unsaid, because secrets are in there."""
    try:
        return from_row(row)
    except (ValueError, KeyError):
        raise ValueError from None


def _unusable(path: Path, reason: object) -> str:
    return (
        f"cannot use the database {path}: {reason}; mend or move it away, or set KUMA_GENERAL_WORK_DIR to a"
        " directory that can be written"
    )
