"""One writer for a durable store: writes that wait together share one transaction and one fsync.

A caller that is cancelled does not take its write back: once it is taken from the queue it is committed and
told to the feed, so that no subscriber misses what the database holds.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from kumacp.store.api import Conflict, NotFound, StoreUnavailable
from kumacp.store.feed import ChangeFeed
from kumacp.store.state import Draft, Outcome, Record, State, Write
from kumamesh.resource import ResourceKey

MAX_WAITING = 1_024
"""Writes in the queue; further callers wait before it."""
MAX_GROUP = 256
"""Writes of one transaction: bounds how long the first of them waits for the last."""

Persist = Callable[[Mapping[ResourceKey, Record | None]], Awaitable[None]]
"""Make the records durable in one transaction (None: deleted); raises StoreUnavailable."""


_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Job:
    write: Write
    done: asyncio.Future[Outcome]


class CommitWorker:
    """Plans writes on the state, persists them in groups, then shows them to readers and the feed."""

    def __init__(self, state: State, feed: ChangeFeed, persist: Persist, now: Callable[[], datetime]) -> None:
        self._state = state
        self._feed = feed
        self._persist = persist
        self._now = now
        self._slots = asyncio.Semaphore(MAX_WAITING)
        self._jobs: deque[_Job] = deque()
        self._wake = asyncio.Event()
        self._closed = False

    async def submit(self, write: Write) -> Outcome:
        """The outcome once it is durable; raises NotFound, Conflict, StoreUnavailable."""
        async with self._slots:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            job = _Job(write, asyncio.get_running_loop().create_future())
            self._jobs.append(job)
            self._wake.set()
            return await job.done

    def close(self) -> None:
        """Take no more writes; `run` finishes what is queued and returns."""
        self._closed = True
        self._wake.set()

    async def run(self) -> None:
        while self._jobs or not self._closed:
            if self._jobs:
                await self._commit([self._jobs.popleft() for _ in range(min(len(self._jobs), MAX_GROUP))])
            else:
                self._wake.clear()
                await self._wake.wait()

    async def _commit(self, group: list[_Job]) -> None:
        draft = Draft(self._state, self._now())
        outcomes: list[tuple[_Job, Outcome | Exception]] = []
        for job in group:
            if not job.done.cancelled():
                outcomes.append((job, _plan(job.write, draft)))
        try:
            if draft.written:
                await self._persist(draft.written)
        except Exception as error:  # noqa: BLE001  # the callers get it; the next group may fare better
            _LOG.error("writing %d resources failed: %s", len(draft.written), error)
            outcomes = [(job, StoreUnavailable(str(error))) for job, _ in outcomes]
        else:
            self._state.commit(draft.written.items())
        for job, outcome in outcomes:
            if isinstance(outcome, Outcome):
                self._feed.publish(outcome.changes)
            _settle(job.done, outcome)


def _plan(write: Write, draft: Draft) -> Outcome | Exception:
    try:
        return write(draft)
    except (NotFound, Conflict) as error:
        return error
    except Exception as error:  # noqa: BLE001  # one write that cannot be planned must not end all later ones
        _LOG.error("a write was given up: %s", type(error).__name__)
        return error


def _settle(done: asyncio.Future[Outcome], outcome: Outcome | Exception) -> None:
    if done.cancelled():
        return
    if isinstance(outcome, Outcome):
        done.set_result(outcome)
    else:
        done.set_exception(outcome)
