"""Answers the asking side of one sync stream: sends what it lacks, and takes its verdicts."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

from kumacp.dpserver.timer_driver import wait_until
from kumacp.figures import count
from kumacp.kds.exchange.offers_driver import Touched
from kumacp.kds.exchange.pause_driver import Pause
from kumacp.kds.exchange.traffic import Traffic
from kumacp.kds.protocol.codec import decode_request, encode_response
from kumacp.kds.protocol.messages import PARTS, MalformedMessage, Node
from kumacp.kds.protocol.parts import split
from kumacp.kds.protocol.streams import Wire
from kumamesh.delta import WILDCARD, Ack, Counters, DeltaResponse, DeltaSession, Dialect, Nack
from kumamesh.xds import XdsResource

log = logging.getLogger(__name__)

_SHOWN_ERROR_CHARS = 2_000
_MAX_TYPES = 100
"""Kuma has half as many."""
_MAX_TYPE_CHARS = 100
_ALL = frozenset({WILDCARD})


class Sender:
    """`source` is live: whoever changes it calls `touch`."""

    def __init__(
        self,
        wire: Wire,
        source: Mapping[str, Mapping[str, XdsResource]],
        *,
        control_plane: str,
        peer: str,
        nack_backoff_s: float,
        max_message_bytes: int,
        pause: Pause | None = None,
        traffic: Traffic | None = None,
    ) -> None:
        self.traffic = traffic or Traffic()
        self._wire = wire
        self._control_plane = control_plane
        self._peer = peer
        self._limit = max_message_bytes
        self._pause = pause or Pause()
        self._session = DeltaSession(source, Dialect.KDS, nack_backoff_s=nack_backoff_s)
        self._asked: set[str] = set()
        self._features: frozenset[str] = frozenset()
        self._fault: Exception | None = None
        self._wake = asyncio.Event()

    @property
    def counters(self) -> Mapping[str, Counters]:
        """Responses by type."""
        return self._session.counters

    def touch(self, touched: Touched) -> None:
        """Resources of the source changed."""
        now = time.monotonic()
        for type_, names in touched.items():
            self._session.touch(type_, names, now)
        self._wake.set()

    async def run(self, first: bytes | None = None) -> None:
        """Until the other side has said all it has to say. `first` is a request that was read already.
        Raises MalformedMessage, and whatever the wire raises."""
        with self._pause.wakes(self._wake):
            async with asyncio.TaskGroup() as group:
                both = [group.create_task(self._read(first)), group.create_task(self._write())]
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
                for task in both:
                    task.cancel()
        if self._fault is not None:
            raise self._fault

    async def _read(self, first: bytes | None) -> None:
        try:
            data = first if first is not None else await self._wire.read()
            while data is not None:
                self._take(data)
                self._wake.set()
                data = await self._wire.read()
        except Exception as error:  # noqa: BLE001  # raised by `run`
            self._fault = self._fault or error

    async def _write(self) -> None:
        try:
            while True:
                moment = None  # in a pause the session is not asked, so its moments would stay in the past
                if not self._pause.holds:
                    for response in self._session.poll(time.monotonic()):
                        await self._send(response)
                    moment = self._session.wake_at()
                await wait_until(moment, time.monotonic, self._wake)
        except Exception as error:  # noqa: BLE001  # raised by `run`
            self._fault = self._fault or error

    async def _send(self, response: DeltaResponse) -> None:
        messages = [response]
        first = self._session.counters[response.type_url].sent == 1
        if not first or PARTS in self._features:
            messages = split(response, self._limit)
        count(self.traffic.sent, response.type_url)
        for message in messages:
            data = encode_response(message, self._control_plane)
            if len(data) > self._limit:
                log.warning(
                    "a first list in one message of %d bytes: if the other side takes no more than %d, raise"
                    " its MAX_MSG_SIZE (KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE or"
                    " KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE)",
                    len(data),
                    self._limit,
                    extra={"peer": self._peer, "type": response.type_url},
                )
            await self._wire.write(data)

    def _take(self, data: bytes) -> None:
        request, node = decode_request(data)
        if not _ALL.issuperset((*request.subscribe, *request.unsubscribe)):
            # Nobody does it, and a stranger could make this side remember a million names.
            raise MalformedMessage("the stream asks for resources by their names: only * is known here")
        if request.type_url not in self._asked:
            self._begin(request.type_url, node)
        verdict = self._session.on_request(request, time.monotonic())
        if isinstance(verdict, Ack):
            count(self.traffic.accepted, verdict.type_url)
        if isinstance(verdict, Nack):
            count(self.traffic.refused, verdict.type_url)
            log.warning(
                "the other side refused resources: %s",
                " ".join(verdict.error[:_SHOWN_ERROR_CHARS].split()),
                extra={"peer": self._peer, "type": verdict.type_url},
            )

    def _begin(self, type_: str, node: Node | None) -> None:
        if len(self._asked) >= _MAX_TYPES:
            raise MalformedMessage(f"the stream asks for more than {_MAX_TYPES} types of resources")
        if len(type_) > _MAX_TYPE_CHARS:
            raise MalformedMessage(f"the name of a type has more than {_MAX_TYPE_CHARS} characters")
        self._asked.add(type_)
        if node is not None:
            self._features |= node.features
