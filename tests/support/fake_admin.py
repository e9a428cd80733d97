"""Something that listens where the control plane expects Envoy's admin, and behaves as a test wants."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from kumacp.identity.admin_ca import issue_admin_server
from kumacp.identity.x509 import CertificateAuthority

Behaviour = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


class FakeAdmin:
    """Answers /server_info as `node_id`, and any other path by the behaviour; notes what it was asked."""

    def __init__(
        self, behaviour: Behaviour, *, node_id: str = "default.web-1", context: ssl.SSLContext | None = None
    ) -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._behaviour = behaviour
        self.node_id = node_id
        self._context = context
        self._open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def __aenter__(self) -> FakeAdmin:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._context)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        serving = [task for task in self._open.values() if task is not None]
        for writer in self._open:
            writer.transport.abort()
        await asyncio.gather(*serving)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        with suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ")[1]
                self.heads.append(head)
                self.asked.append(path)
                if path == "/server_info":
                    await answer(writer, json.dumps({"node": {"id": self.node_id}}))
                else:
                    await self._behaviour(path, writer)
                await writer.drain()
        del self._open[writer]
        writer.close()


async def answer(writer: asyncio.StreamWriter, body: str, status: str = "200 OK", *headers: str) -> None:
    data = body.encode()
    lines = (f"HTTP/1.1 {status}", f"content-length: {len(data)}", *headers, "", "")
    writer.write("\r\n".join(lines).encode() + data)


def server_context(
    authority: CertificateAuthority, folder: Path, *names: str, trusts: CertificateAuthority | None = None
) -> ssl.SSLContext:
    """What the admin listener of a proxy with these addresses has; `trusts` is another CA of clients."""
    identity = issue_admin_server(authority, names, now=datetime.now(UTC))
    path = folder / "admin.pem"
    path.write_bytes(identity.certificate + identity.private_key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.load_verify_locations(cadata=(trusts or authority).certificate.decode())
    context.verify_mode = ssl.CERT_REQUIRED
    return context
