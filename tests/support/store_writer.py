"""Writes to a SQLite store until it is killed; prints the name of every write that was acknowledged."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from kumacp.store.sqlite import SqliteStore
from store_contract import secret


async def write(store: SqliteStore, prefix: str) -> None:
    for number in range(1_000_000):
        stored = await store.create(secret(f"{prefix}-{number}"))
        print(stored.name, flush=True)


async def main(path: Path, run: str) -> None:
    store = await SqliteStore.open(path)
    async with asyncio.TaskGroup() as group:
        for writer in range(4):
            group.create_task(write(store, f"{run}-{writer}"))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
