"""A REST API with fixed answers, for the clients of one: what was asked, and what raw bytes come back."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

Raw = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class RestStub:
    """Answers by path: a document as JSON, a text as it is, a number as a status without body."""

    answers: dict[str, Any]
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path_qs}")
        answer = self.answers.get(request.path, 404)
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, str):
            return web.Response(text=answer)
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")


@contextlib.asynccontextmanager
async def rest_stub(answers: dict[str, Any]) -> AsyncIterator[RestStub]:
    stub = RestStub(answers)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", stub.handle)
    async with TestServer(application) as server:
        stub.url = f"http://127.0.0.1:{server.port}"
        yield stub


@contextlib.asynccontextmanager
async def raw_server(talk: Raw) -> AsyncIterator[str]:
    """The URL of a server that talks to each connection as it likes, until its client or the test ends."""

    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
                await talk(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for task in serving:
            task.cancel()
        await asyncio.gather(*serving, return_exceptions=True)
        await server.wait_closed()


def configure(home: Path, url: str) -> None:
    """Make the URL the only control plane of a kumactl with this home."""
    folder = home / ".kumactl"
    folder.mkdir(exist_ok=True)
    document = {
        "controlPlanes": [{"name": "cp", "coordinates": {"apiServer": {"url": url}}}],
        "contexts": [{"name": "cp", "controlPlane": "cp"}],
        "currentContext": "cp",
    }
    (folder / "config").write_text(yaml.safe_dump(document))
