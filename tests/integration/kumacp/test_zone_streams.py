"""Streams of zones at global: how they end."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import grpc
import grpc.aio

from kumacp.dpserver.refusal import Refused, Status
from kumacp.kds.at_global.admission import Caller
from kumacp.kds.at_global.zone_insight import StreamKind
from kumacp.kds.at_global.zone_stream_driver import ZoneStream

WITHIN_S = 20.0


class _OneMethod(grpc.GenericRpcHandler):
    """Begins the first message, and refuses the zone while that is on its way."""

    def service(self, _: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self._serve)

    async def _serve(self, _: Any, context: Any) -> None:
        stream = ZoneStream(context, StreamKind.STATS, Caller("zone-1"), limit=1_000, opened_at=0.0)
        await stream.run(lambda: self._work(stream))

    async def _work(self, stream: ZoneStream) -> None:
        writing = asyncio.create_task(stream.write(b"first"))
        while stream._sending is None:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        stream.end(Refused(Status.PERMISSION_DENIED, "not you"))
        await asyncio.gather(writing, return_exceptions=True)


async def test_a_refusal_that_overtakes_the_first_message_is_told() -> None:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((_OneMethod(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with asyncio.timeout(WITHIN_S), grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.stream_stream("/service/Method")()
            with contextlib.suppress(grpc.aio.AioRpcError):
                while await call.read() is not grpc.aio.EOF:
                    pass
            assert (await call.code(), await call.details()) == (grpc.StatusCode.PERMISSION_DENIED, "not you")
    finally:
        await server.stop(0)
