"""Following a store: all that is stored, then every change; all of it again when changes were lost."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack

from kumacp.store.api import Change, Feed, FeedOverrun, Store, StoreUnavailable

log = logging.getLogger(__name__)

_RETRY_S = 1.0


class Following:
    """`begin`, then `run`. `read` takes over what is stored, at the beginning and after a loss, and `take`
    each batch of changes after that; what changes while it is read comes in batches, too. `what` names in
    log lines what is followed."""

    def __init__(
        self,
        store: Store,
        what: str,
        *,
        read: Callable[[], Awaitable[None]],
        take: Callable[[Sequence[Change]], None],
    ) -> None:
        self._store = store
        self._what = what
        self._read = read
        self._take = take
        self._open = ExitStack()
        self._feed: Feed | None = None

    @property
    def begun(self) -> bool:
        return self._feed is not None

    async def begin(self) -> None:
        """Raises StoreUnavailable; then everything is as it was."""
        with ExitStack() as opened:
            feed = opened.enter_context(self._store.watch())
            await self._read()
            self._open.close()
            self._open = opened.pop_all()
        self._feed = feed

    async def run(self) -> None:
        """Until the store is closed."""
        try:
            while self._feed is not None:
                try:
                    async for batch in self._feed:
                        self._take(batch)
                    return
                except FeedOverrun:
                    log.warning("the change feed overran; %s are read again", self._what)
                    await self._begin_again()
        finally:
            self._open.close()

    async def _begin_again(self) -> None:
        while True:
            try:
                return await self.begin()
            except StoreUnavailable as error:
                log.error("%s cannot be read, trying again: %s", self._what, error)
                await asyncio.sleep(_RETRY_S)
