"""The HTTP servers against clients that are slow, broken or many; certificates that change."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from kumacp import bootstrap_service
from kumacp.api import resources
from kumacp.bootstrap_driver import LIGHT_BODY_BYTES, BootstrapDriver
from kumacp.bootstrap_server import BootstrapServer
from kumacp.bootstrap_service import BootstrapAnswer
from kumacp.http_server import BodyRefused, HttpServer, read_body
from kumacp.identity.server_cert import create_server_certificate
from kumacp.identity.signing_keys import KeyRing
from kumacp.settings import CpSettings
from kumacp.store.memory import MemoryStore
from kumacp.tls_context_disk import CertificateContext
from kumamesh.errors import UserError
from kumamesh.resource import Resource, ResourceKey
from resource_documents import dataplane
from running_api import running_api

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _greet(request: web.BaseRequest) -> web.StreamResponse:
    try:
        body = await read_body(request, limit=2**20, timeout_s=5.0)
    except BodyRefused as error:
        return web.Response(status=error.status, text=str(error))
    return web.Response(body=body)


@asynccontextmanager
async def serving(server: HttpServer) -> AsyncIterator[int]:
    runner = web.ServerRunner(server, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def closed(reader: asyncio.StreamReader) -> bytes:
    """What came before the server closed the connection."""
    async with asyncio.timeout(10):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_connection_without_a_whole_request_is_closed(sent: bytes) -> None:
    async with (
        serving(HttpServer(_greet, keepalive_s=60.0, first_request_s=0.05)) as port,
        connected(port) as (reader, writer),
    ):
        writer.write(sent)
        assert await closed(reader) == b""


async def test_a_connection_with_a_request_stays_and_ends_after_its_life() -> None:
    server = HttpServer(_greet, keepalive_s=60.0, first_request_s=0.2, life_s=0.4)
    async with serving(server) as port, connected(port) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200")
        assert await closed(reader) == b""
        assert not server.connections


async def test_connections_are_bounded() -> None:
    server = HttpServer(_greet, keepalive_s=60.0, max_connections=1)
    async with serving(server) as port, connected(port) as (first, writer):
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await first.readuntil(b"\r\n\r\n")
        async with connected(port) as (second, _):
            assert await closed(second) == b""
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert (await first.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", b"400"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
        (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1048577\r\n\r\n", b"413"),
        (b"\x16\x03\x01\x02\x00junk\r\n\r\n", b"400"),
    ],
)
async def test_broken_requests_are_answered_and_leave_no_traceback(
    request_text: bytes, status: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(HttpServer(_greet, keepalive_s=60.0)) as port, connected(port) as (reader, writer):
        writer.write(request_text)
        assert (await reader.readline()).split()[1] == status
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_half_a_character_in_a_label_does_not_make_lists_unreadable(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api, aiohttp.ClientSession(api.http_url) as session:
        document = {**dataplane(), "labels": {"team": "\ud800"}}
        async with session.put("/meshes/default/dataplanes/a", json=document) as answer:
            assert answer.status == 400
        async with session.get("/dataplanes") as answer:
            assert (answer.status, (await answer.json())["total"]) == (200, 0)


def _write(folder: Path, name: str = "cp.example") -> tuple[Path, Path]:
    certificate, key = folder / "cp.crt", folder / "cp.key"
    certificate_pem, key_pem = create_server_certificate(name, ["127.0.0.1"], datetime.now(UTC))
    certificate.write_bytes(certificate_pem)
    key.write_bytes(key_pem)
    return certificate, key


async def test_bootstrap_names_the_certificate_that_is_in_the_file_now(tmp_path: Path) -> None:
    certificate, _ = _write(tmp_path)
    settings = dataclasses.replace(CpSettings(), dp_proxy_auth="none")
    driver = BootstrapDriver(settings, MemoryStore(), certificate, lambda: KeyRing([]))
    body = json.dumps({"name": "a", "mesh": "default"}).encode()

    async def knows(host: str) -> bool:
        return (await driver.answer(body, host, "")).status != 400

    assert (await knows("cp.example"), await knows("new.example")) == (True, False)
    _write(tmp_path, "new.example")
    assert (await knows("cp.example"), await knows("new.example")) == (False, True)
    certificate.write_bytes(b"half of a cert")
    assert await knows("new.example")


async def _presented(port: int) -> bytes:
    """The certificate that a server shows now (DER)."""
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusting)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return bytes(shown)


async def test_https_follows_its_certificate_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_api(tmp_path) as api:
        files = api.certificate, api.certificate.with_suffix(".key")
        first = await _presented(api.server.https_port)
        files[0].write_bytes(files[0].read_bytes()[:100])  # half written
        assert await _presented(api.server.https_port) == first
        assert "the certificate before stays in use" in caplog.text
        certificate, key = create_server_certificate("cp.example", ["127.0.0.1"], datetime.now(UTC))
        files[0].write_bytes(certificate)
        assert await _presented(api.server.https_port) == first  # the key is still that of the other
        files[1].write_bytes(key)
        assert await _presented(api.server.https_port) == ssl.PEM_cert_to_DER_cert(certificate.decode())


def test_an_encrypted_key_is_refused_without_asking_for_its_passphrase(tmp_path: Path) -> None:
    certificate, key = _write(tmp_path)
    loaded = serialization.load_pem_private_key(key.read_bytes(), None)
    key.write_bytes(
        loaded.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    with pytest.raises(UserError, match="unencrypted key"):
        CertificateContext(certificate, key)


async def test_bootstrap_closes_after_its_answer_and_survives_junk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(body: bytes, host: str, accept: str) -> BootstrapAnswer:
        if body == b"bug":
            raise RuntimeError("bug")
        if body.startswith(b"{"):
            return BootstrapAnswer(403, "text/plain", b"not you")
        return BootstrapAnswer(200, "text/plain", body)

    server = BootstrapServer(answer, *_write(tmp_path))
    trusting = ssl.create_default_context(cafile=str(tmp_path / "cp.crt"))

    def call(body: bytes) -> bytes:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop.call_soon_threadsafe(server.take, theirs)
        with trusting.wrap_socket(ours, server_hostname="cp.example") as sock:
            sock.settimeout(10)
            head = f"POST /bootstrap HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
            sock.sendall(head.encode() + body)
            with sock.makefile("rb") as stream:
                return stream.read()

    loop = asyncio.get_running_loop()
    run = loop.create_task(server.run())
    junk, theirs = socket.socketpair()
    theirs.setblocking(False)
    server.take(theirs)
    junk.sendall(b"\x16\x03\x01\x00\x04junk")
    assert (await asyncio.to_thread(call, b"hello")).endswith(b"\r\n\r\nhello")
    assert b" 500 " in (await asyncio.to_thread(call, b"bug")).split(b"\r\n")[0]
    assert (await asyncio.to_thread(call, b"again")).endswith(b"\r\n\r\nagain")
    refused = b'{"name": "zi-1", "proxyType": "ingress", "dataplaneToken": "secret"}'
    assert b" 403 " in (await asyncio.to_thread(call, refused)).split(b"\r\n")[0]
    told = next(record for record in caplog.records if "not you" in record.getMessage())
    assert (told.getMessage(), vars(told)["proxy"]) == ("bootstrap refused: not you", ".zi-1")
    assert "secret" not in str(vars(told))
    junk.close()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run


async def test_bootstrap_parses_large_bodies_outside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Anybody may send them, and they take seconds."""
    threads: list[bool] = []
    wanted = bootstrap_service.wanted

    def watched(body: bytes) -> tuple[ResourceKey, ...]:
        threads.append(threading.current_thread() is threading.main_thread())
        return wanted(body)

    monkeypatch.setattr(bootstrap_service, "wanted", watched)
    certificate, _ = _write(tmp_path)
    driver = BootstrapDriver(CpSettings(), MemoryStore(), certificate, lambda: KeyRing([]))
    small = json.dumps({"name": "a", "dataplaneResource": "a: 1"}).encode()
    for body in (small, small + b" " * LIGHT_BODY_BYTES):
        assert (await driver.answer(body, "cp.example", "")).status == 422
    assert threads == [True, False]


async def test_large_resources_are_read_outside_the_event_loop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[bool] = []
    read = resources.from_rest

    def watched(*given: Any, **options: Any) -> Resource:
        threads.append(threading.current_thread() is threading.main_thread())
        return read(*given, **options)

    monkeypatch.setattr(resources, "from_rest", watched)
    async with running_api(tmp_path) as api, aiohttp.ClientSession(api.http_url) as session:
        for padding in (0, resources.LIGHT_BODY_BYTES):
            body = json.dumps(dataplane()).encode() + b" " * padding
            async with session.put("/meshes/default/dataplanes/a", data=body) as answer:
                assert answer.status in (200, 201)
    assert threads == [True, False]
