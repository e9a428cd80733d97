"""The front before the servers that it is for: grpcio on a Unix socket with its own TLS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from kumacp.front.peer import client_address
from kumacp.front.process import FrontProcess
from kumacp.identity.server_cert import create_server_certificate

UNLIMITED = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service(grpc.GenericRpcHandler):
    """`/test/Echo` sends the request back, `/test/Peer` the client's address, `/test/Stream` all it gets."""

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        match details.method:
            case "/test/Echo":
                return grpc.unary_unary_rpc_method_handler(self._echo)
            case "/test/Peer":
                return grpc.unary_unary_rpc_method_handler(self._peer)
            case "/test/Stream":
                return grpc.stream_stream_rpc_method_handler(self._stream)
        return None

    async def _echo(self, request: bytes, _: grpc.aio.ServicerContext) -> bytes:
        return request

    async def _peer(self, _: bytes, context: grpc.aio.ServicerContext) -> bytes:
        return client_address(context.peer()).encode()

    async def _stream(
        self, requests: AsyncIterator[bytes], _: grpc.aio.ServicerContext
    ) -> AsyncIterator[bytes]:
        async for request in requests:
            yield request


@pytest.fixture
async def channel(tmp_path: Path) -> AsyncIterator[grpc.aio.Channel]:
    certificate, key = create_server_certificate("localhost", ["127.0.0.1"], datetime.now(UTC))
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers((Service(),))
    path = tmp_path / "grpc.sock"
    assert server.add_secure_port(f"unix:{path}", grpc.ssl_server_credentials([(key, certificate)]))
    await server.start()
    front = FrontProcess.start("127.0.0.1", 0, path, lambda client: client.close())
    credentials = grpc.ssl_channel_credentials(certificate)
    async with grpc.aio.secure_channel(f"localhost:{front.port}", credentials, UNLIMITED) as channel:
        yield channel
    await server.stop(None)
    await front.stop()


async def test_peer_of_a_call_is_the_client(channel: grpc.aio.Channel) -> None:
    peer = (await channel.unary_unary("/test/Peer")(b"")).decode()
    host, _, port = peer.rpartition(":")
    assert host == "127.0.0.1"
    assert 0 < int(port) < 65_536


async def test_message_of_20_mb_passes_both_ways(channel: grpc.aio.Channel) -> None:
    message = bytes(range(256)) * 80_000
    assert await channel.unary_unary("/test/Echo")(message) == message


async def test_many_streams_flow_side_by_side(channel: grpc.aio.Channel) -> None:
    async def talk(number: int) -> None:
        stream = channel.stream_stream("/test/Stream")()
        for turn in range(10):
            message = f"{number} {turn}".encode() * 100
            await stream.write(message)
            assert await stream.read() == message
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF

    async with asyncio.TaskGroup() as group:
        for number in range(50):
            group.create_task(talk(number))
