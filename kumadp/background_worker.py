"""Work that goes on beside a block and ends with it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Coroutine
from typing import Any

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def beside(work: Coroutine[Any, Any, None], what: str) -> AsyncIterator[None]:
    """Cancelled when the block ends. Its failure is logged and ends nothing else, and what the block raises
    comes out as it is: a TaskGroup would end the block, and wrap its errors."""
    task = asyncio.get_running_loop().create_task(_reported(work, what))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait((task,))


async def _reported(work: Coroutine[Any, Any, None], what: str) -> None:
    try:
        await work
    except Exception as error:
        log.error("%s ended: %s; restart the proxy", what, " ".join(f"{error!r}".split()))
        log.debug("%s ended", what, exc_info=True)
