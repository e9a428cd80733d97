"""Proxies of all zones as the REST API of global sees them: their Envoys are asked through their zones."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from kumacp.dpserver.refusal import Refused
from kumacp.envoyadmin.question import ProxyUnavailable, Question, QuestionRefused, Reply
from kumacp.envoyadmin.redaction import redacted_dump
from kumacp.kds.at_global.zone_insight import StreamKind
from kumacp.kds.at_global.zone_stream_driver import ZoneStream
from kumacp.kds.protocol.admin_codec import Answered, Asked, decode_answer, encode_question, stream_of
from kumacp.xds.sidecar import InboundRbac
from kumamesh.names import DISPLAY_NAME_LABEL, ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import XdsResource

ANSWER_S = 10.0
"""A zone gives its Envoy 5 s (contract 3.7); the rest is for the way."""
MAX_WAITING = 64
_SHOWN_CHARS = 500


@dataclass(slots=True, eq=False)
class _Desk:
    """Questions on one stream that are not answered yet, by id."""

    waiting: dict[str, asyncio.Future[Answered]] = field(default_factory=dict)


class RemoteProxies:
    """`newest` gives the stream of a kind that a zone opened last, None when it has none."""

    def __init__(
        self,
        newest: Callable[[str, StreamKind], ZoneStream | None],
        kinds: Mapping[str, StreamKind],
        *,
        answer_s: float = ANSWER_S,
    ) -> None:
        self._newest = newest
        self._kinds = kinds
        self._answer_s = answer_s
        self._desks: dict[ZoneStream, _Desk] = {}
        self._waiting = 0

    async def serve(self, method: str, stream: ZoneStream) -> None:
        """Take answers until the zone ends the stream; raises MalformedMessage."""
        desk = self._desks[stream] = _Desk()
        try:
            while (data := await stream.read()) is not None:
                answered = decode_answer(method, data)
                answer = desk.waiting.pop(answered.id, None)
                if answer is not None and not answer.done():
                    answer.set_result(answered)
        finally:
            del self._desks[stream]
            for answer in desk.waiting.values():
                if not answer.done():
                    answer.set_result(Answered("", error="its zone was disconnected before it answered"))

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        """What the Envoy of the proxy answers; raises ProxyUnavailable, QuestionRefused."""
        if any(key == "filter" for key, _ in question.query):
            raise QuestionRefused("statistics are filtered by the control plane of the zone alone: ask it")
        if self._waiting >= MAX_WAITING:
            raise ProxyUnavailable("the control plane asks too many proxies at once: try again in a moment")
        self._waiting += 1
        try:
            answered = await self._ask(proxy, question)
        finally:
            self._waiting -= 1
        if answered.body is None:
            raise ProxyUnavailable(" ".join(answered.error[:_SHOWN_CHARS].split()))
        if not question.secret:
            return Reply(answered.body, question.content_type)
        try:
            return Reply(await asyncio.to_thread(redacted_dump, answered.body), question.content_type)
        except ValueError:
            raise ProxyUnavailable("its zone sent a config dump that is not JSON") from None

    def configuration(
        self, proxy: ResourceKey, permission: InboundRbac | None = None
    ) -> Mapping[str, Mapping[str, XdsResource]]:
        """Raises ProxyUnavailable: only its zone knows."""
        raise ProxyUnavailable("only the control plane of its zone knows what it is sent: ask that one")

    async def _ask(self, proxy: Resource, question: Question) -> Answered:
        zone = proxy.labels.get(ZONE_LABEL, "")
        method = stream_of(question)
        stream = self._newest(zone, self._kinds[method])
        desk = self._desks.get(stream) if stream is not None else None
        if stream is None or desk is None:
            raise ProxyUnavailable(
                f'its zone "{zone}" is not connected: start its control plane, or look at the link to it'
                if zone
                else "it belongs to no zone"
            )
        asked = Asked(str(uuid.uuid4()), _key_in_zone(proxy), question)
        answer: asyncio.Future[Answered] = asyncio.get_running_loop().create_future()
        desk.waiting[asked.id] = answer
        try:
            async with asyncio.timeout(self._answer_s):
                await stream.write(encode_question(asked))
                return await answer
        except TimeoutError:
            text = f'the control plane of zone "{zone}" did not answer within {self._answer_s:g} s'
            raise ProxyUnavailable(f"{text}: is the link to it broken?") from None
        except (ConnectionError, Refused):
            raise ProxyUnavailable(f'the zone "{zone}" was disconnected meanwhile') from None
        finally:
            desk.waiting.pop(asked.id, None)


def _key_in_zone(proxy: Resource) -> ResourceKey:
    """Names are made unique on their way to global; the zone knows the one that people gave."""
    return proxy.key._replace(name=proxy.labels.get(DISPLAY_NAME_LABEL, proxy.name))
