"""Streams whose first request has not come yet: anybody may open them, so they are few and wait not long."""

from __future__ import annotations

import asyncio
from typing import Any

from kumacp.dpserver.refusal import Refused, Status

FIRST_REQUEST_S = 10.0
MAX_SILENT = 4_096
"""Each takes 24 KB."""
SILENCE_S = 1.0
"""When there are as many, those that have said nothing for so long make room for others."""


class Lobby:
    """Where streams wait before anything is known of them."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Timeout, float] = {}  # since when; the oldest first

    async def first_request(self, context: Any) -> Any:
        """The first message, or grpc.aio.EOF; raises Refused."""
        if len(self._waiting) >= MAX_SILENT and not self._make_room():
            text = "too many streams wait for their first request; try again"
            raise Refused(Status.UNAVAILABLE, text)
        try:
            async with asyncio.timeout(FIRST_REQUEST_S) as patience:
                self._waiting[patience] = asyncio.get_running_loop().time()
                try:
                    return await context.read()
                finally:
                    self._waiting.pop(patience, None)
        except TimeoutError:
            raise Refused(Status.DEADLINE_EXCEEDED, "no request came in time") from None

    def _make_room(self) -> bool:
        """End the one that is silent the longest, if that is long."""
        patience, since = next(iter(self._waiting.items()))
        now = asyncio.get_running_loop().time()
        if now - since < SILENCE_S:
            return False
        del self._waiting[patience]
        patience.reschedule(now)
        return True
