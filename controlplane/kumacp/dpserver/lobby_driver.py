"""Streams whose first request has not come yet: anybody may open them, so they are few and wait not long."""

from __future__ import annotations

import asyncio
from typing import Any

from kumacp.dpserver.refusal import Refused, Status

FIRST_REQUEST_S = 10.0
MAX_SILENT = 4_096
"""Each takes 24 KB. When there are as many, the one that is silent the longest makes room for the next."""


class Lobby:
    """Where streams wait before anything is known of them."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Timeout, None] = {}  # the oldest first

    async def first_request(self, context: Any) -> Any:
        """The first message, or grpc.aio.EOF; raises Refused."""
        if len(self._waiting) >= MAX_SILENT:
            oldest = next(iter(self._waiting))
            del self._waiting[oldest]
            oldest.reschedule(asyncio.get_running_loop().time())
        try:
            async with asyncio.timeout(FIRST_REQUEST_S) as patience:
                self._waiting[patience] = None
                try:
                    return await context.read()
                finally:
                    self._waiting.pop(patience, None)
        except TimeoutError:
            raise Refused(Status.DEADLINE_EXCEEDED, "no request came in time") from None
