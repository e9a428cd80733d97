"""The one writer goes on, whatever a write does."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from kumacp.store.commit_worker import CommitWorker
from kumacp.store.feed import ChangeFeed
from kumacp.store.state import Draft, Outcome, State
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import Mesh


async def _persist(_: object) -> None:
    """Durable at once."""


async def test_a_write_that_cannot_be_planned_fails_alone() -> None:
    """Comparing two specs that are nested too deeply raises RecursionError, for example."""

    def impossible(draft: Draft) -> Outcome:
        raise RecursionError

    mesh = Resource(ResourceKey("Mesh", "", "default"), Mesh())
    worker = CommitWorker(State(), ChangeFeed(), _persist, lambda: datetime.now(UTC))
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        group.create_task(worker.run())
        with pytest.raises(RecursionError):
            await worker.submit(impossible)
        outcome = await worker.submit(lambda draft: draft.create((mesh,)))
        worker.close()
    assert [resource.name for resource in outcome.resources] == ["default"]
