"""A delta xDS stream in plain HTTP/2, as light as Python allows, and as rude as a test wants it to be."""

from __future__ import annotations

import asyncio
import ssl

from google.protobuf.message import Message
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, DataReceived, StreamEnded, StreamReset, TrailersReceived

from ads_client import SERVICE

CLOSED = "the connection was closed"
GOAWAY = "the server wants another connection"
_WINDOW = 2**24


class DeltaConnection:
    """One connection with one stream."""

    def __init__(self, port: int, context: ssl.SSLContext, token: str = "") -> None:
        self._port, self._context, self._token = port, context, token
        self._h2 = H2Connection(H2Configuration(header_encoding="utf-8"))
        self._stream = 1
        self._buffer = bytearray()
        self.ended = False
        self.reason = ""

    async def connect(self) -> None:
        """TLS and HTTP/2, and nothing else."""
        self._reader, self._writer = await asyncio.open_connection(
            "localhost", self._port, ssl=self._context, ssl_handshake_timeout=60
        )
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(_WINDOW)
        self._flush()

    async def open(self, *, streams: int = 1) -> None:
        """Connect and begin streams, the first of which is the one that is used."""
        await self.connect()
        for number in range(streams):
            self._h2.send_headers(self._stream + 2 * number, self._headers())
        self._flush()

    def send(self, message: Message) -> None:
        data = message.SerializeToString()
        self._h2.send_data(self._stream, b"\0" + len(data).to_bytes(4, "big") + data)
        self._flush()

    async def receive(self) -> bytes:
        """The next message; EOFError with the status when the stream is over."""
        while True:
            size = int.from_bytes(self._buffer[1:5], "big") + 5
            if len(self._buffer) >= max(size, 5):
                message = bytes(self._buffer[5:size])
                del self._buffer[:size]
                return message
            if self.ended:
                raise EOFError(self.reason)
            await self._read()

    async def keep(self) -> None:
        """Answer pings until the connection ends."""
        while not self.ended:
            await self._read()
            self._buffer.clear()

    async def swallow(self) -> None:
        """Read, and answer nothing: neither pings nor settings."""
        try:
            self.ended = not await self._reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            self.ended = True

    def abort(self) -> None:
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            data = await self._reader.read(65_536)
        except ConnectionError:
            data = b""
        if not data:
            self.ended, self.reason = True, self.reason or CLOSED
            return
        for event in self._h2.receive_data(data):
            if isinstance(event, DataReceived):
                self._buffer += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, TrailersReceived) and event.stream_id == self._stream:
                headers = dict(event.headers)
                self.reason = f"{headers.get('grpc-status')} {headers.get('grpc-message', '')}"
            elif isinstance(event, StreamEnded | StreamReset) and event.stream_id == self._stream:
                self.ended, self.reason = True, self.reason or type(event).__name__
            elif isinstance(event, ConnectionTerminated):
                self.ended, self.reason = True, self.reason or GOAWAY
        self._flush()

    def _headers(self) -> list[tuple[str, str]]:
        headers = [
            (":method", "POST"),
            (":scheme", "https"),
            (":path", f"{SERVICE}/DeltaAggregatedResources"),
            (":authority", f"localhost:{self._port}"),
            ("te", "trailers"),
            ("content-type", "application/grpc"),
        ]
        return [*headers, ("authorization", self._token)] if self._token else headers

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
