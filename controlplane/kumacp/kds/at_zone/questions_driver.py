"""Answers what global asks the proxies of this zone, on one of the three streams for it."""

from __future__ import annotations

import asyncio
import logging
from typing import Protocol

from kumacp.envoyadmin.question import ProxyUnavailable, Question, QuestionRefused, Reply
from kumacp.kds.protocol.admin_codec import Answered, Asked, decode_question, encode_answer
from kumacp.kds.protocol.streams import Wire
from kumacp.store.api import NotFound, Store, StoreUnavailable
from kumamesh.resource import Resource

log = logging.getLogger(__name__)

_PROXY_TYPES = ("Dataplane", "ZoneIngress", "ZoneEgress")
_AT_ONCE = 16
"""Further questions wait in the stream."""
_ENVELOPE_BYTES = 1_024


class Proxies(Protocol):
    """Connected proxies: kumacp.envoyadmin.proxies_driver."""

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        """Raises ProxyUnavailable, QuestionRefused."""


class Questions:
    """All that global may ask. `limit`: bytes of the largest message."""

    def __init__(self, store: Store, proxies: Proxies, *, limit: int) -> None:
        self._store = store
        self._proxies = proxies
        self._limit = limit

    async def serve(self, method: str, wire: Wire) -> None:
        """Until global ends the stream; raises MalformedMessage, and whatever the wire raises."""
        slots = asyncio.Semaphore(_AT_ONCE)
        try:
            async with asyncio.TaskGroup() as group:
                while (data := await wire.read()) is not None:
                    asked = decode_question(method, data)
                    await slots.acquire()
                    group.create_task(self._reply(method, wire, asked, slots))
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _reply(self, method: str, wire: Wire, asked: Asked, slots: asyncio.Semaphore) -> None:
        try:
            await wire.write(encode_answer(method, await self._answer(asked)))
        finally:
            slots.release()

    async def _answer(self, asked: Asked) -> Answered:
        if asked.proxy.type not in _PROXY_TYPES:
            return Answered(asked.id, error=f"{asked.proxy.type[:100]!r} is no type of proxy")
        try:
            reply = await self._proxies.ask(await self._store.get(asked.proxy), asked.question)
        except NotFound:
            return Answered(asked.id, error=f"the zone has no {asked.proxy.type} of this name")
        except (ProxyUnavailable, QuestionRefused, StoreUnavailable) as error:
            return Answered(asked.id, error=str(error))
        if len(reply.body) > self._limit - _ENVELOPE_BYTES:
            return Answered(
                asked.id,
                error=f"the answer has {len(reply.body)} bytes, more than one message to global may have: ask"
                " the control plane of the zone",
            )
        return Answered(asked.id, body=reply.body)
