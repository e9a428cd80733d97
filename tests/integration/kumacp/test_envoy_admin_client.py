"""The control plane asks an admin endpoint: over mTLS, and whatever is there instead of an Envoy."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from fake_admin import FakeAdmin, answer, server_context
from kumacp.envoyadmin import question
from kumacp.envoyadmin.admin_client import MAX_AT_ONCE, MAX_WAITING, AdminClient
from kumacp.envoyadmin.question import ProxyUnavailable, QuestionRefused
from kumacp.envoyadmin.target import Target
from kumacp.identity.admin_ca import create_admin_ca, to_secret_data
from kumacp.identity.x509 import CertificateAuthority

STATS = question.stats(used_only=True, as_json=False)
NODE = "default.web-1"
PATIENCE_S = 30.0


@pytest.fixture(scope="module")
def authority() -> CertificateAuthority:
    return create_admin_ca(datetime.now(UTC))


@pytest.fixture(scope="module")
def stranger() -> CertificateAuthority:
    return create_admin_ca(datetime.now(UTC))


@pytest.fixture
def admin_ca(authority: CertificateAuthority) -> Callable[[], Awaitable[bytes]]:
    async def give() -> bytes:
        return to_secret_data(authority)

    return give


@pytest.fixture
def client(admin_ca: Callable[[], Awaitable[bytes]]) -> AdminClient:
    return AdminClient(admin_ca)


async def echo(path: str, writer: asyncio.StreamWriter) -> None:
    await answer(writer, path)


def plain(admin: FakeAdmin) -> Target:
    return Target(NODE, "127.0.0.1", admin.port, secure=False)


def secure(admin: FakeAdmin) -> Target:
    return Target(NODE, "127.0.0.1", admin.port, secure=True)


async def refusal(client: AdminClient, target: Target) -> str:
    with pytest.raises(ProxyUnavailable) as caught:
        await client.ask(target, STATS)
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_an_admin_of_the_right_ca_is_asked_with_the_certificate_of_the_control_plane(
    client: AdminClient, authority: CertificateAuthority, tmp_path: Path
) -> None:
    context = server_context(authority, tmp_path, "127.0.0.1")
    async with FakeAdmin(echo, context=context) as admin:
        reply = await client.ask(
            secure(admin), question.stats(used_only=True, as_json=True, filter_="^a&b=c$")
        )
    path, _, query = reply.body.decode().partition("?")
    assert (path, parse_qsl(query)) == (
        "/stats",
        [("usedonly", "true"), ("filter", "^a&b=c$"), ("format", "json")],
    )
    assert reply.content_type == "application/json"
    assert admin.asked[0] == "/server_info"


async def test_without_mtls_no_credential_is_shown(
    client: AdminClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    async with FakeAdmin(echo) as admin:
        assert (await client.ask(plain(admin), STATS)).body == b"/stats?usedonly=true"
    assert not any(word in "".join(admin.heads).lower() for word in ("authorization", "cookie"))


@pytest.mark.parametrize(
    ("names", "own_ca"), [(["127.0.0.1"], False), (["127.0.0.3"], True), (["web.example"], True)]
)
async def test_a_server_that_cannot_prove_to_have_the_address_is_told_nothing(
    client: AdminClient,
    authority: CertificateAuthority,
    stranger: CertificateAuthority,
    tmp_path: Path,
    names: list[str],
    own_ca: bool,
) -> None:
    issuer = authority if own_ca else stranger
    context = server_context(issuer, tmp_path, *names, trusts=authority)
    async with FakeAdmin(echo, context=context) as admin:
        assert "shows a certificate that is not of the CA in envoy-admin-ca" in await refusal(
            client, secure(admin)
        )
    assert admin.asked == []


async def test_a_server_that_does_not_trust_the_control_plane_is_an_error(
    client: AdminClient, authority: CertificateAuthority, stranger: CertificateAuthority, tmp_path: Path
) -> None:
    context = server_context(authority, tmp_path, "127.0.0.1", trusts=stranger)
    async with FakeAdmin(echo, context=context) as admin:
        assert "127.0.0.1" in await refusal(client, secure(admin))
    assert admin.asked == []


async def test_plain_text_where_tls_is_expected(client: AdminClient) -> None:
    async def refuse(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await answer(writer, "", "400 Bad Request")
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        target = Target(NODE, "127.0.0.1", server.sockets[0].getsockname()[1], secure=True)
        assert "no TLS connection" in await refusal(client, target)


async def test_a_ca_that_was_replaced_is_used_from_then_on(
    authority: CertificateAuthority, stranger: CertificateAuthority, tmp_path: Path
) -> None:
    current = [stranger]

    async def admin_ca() -> bytes:
        return to_secret_data(current[0])

    client = AdminClient(admin_ca)
    async with FakeAdmin(echo, context=server_context(authority, tmp_path, "127.0.0.1")) as admin:
        await refusal(client, secure(admin))
        current[0] = authority
        assert (await client.ask(secure(admin), STATS)).body == b"/stats?usedonly=true"


async def test_a_ca_that_cannot_be_read_is_named() -> None:
    async def admin_ca() -> bytes:
        return b""

    async with FakeAdmin(echo) as admin:
        assert "the secret envoy-admin-ca must hold" in await refusal(AdminClient(admin_ca), secure(admin))
    assert admin.asked == []


@pytest.mark.parametrize("node_id", ["default.web-2", ""])
async def test_another_proxy_at_that_port_is_not_taken_for_the_one_that_is_meant(
    client: AdminClient, node_id: str
) -> None:
    async with FakeAdmin(echo, node_id=node_id) as admin:
        assert "not the Envoy of this proxy" in await refusal(client, plain(admin))
    assert admin.asked == ["/server_info"]


async def test_redirections_are_not_followed(client: AdminClient) -> None:
    async with FakeAdmin(echo) as other:

        async def redirect(_: str, writer: asyncio.StreamWriter) -> None:
            await answer(writer, "", "302 Found", f"location: http://127.0.0.1:{other.port}/config_dump")

        async with FakeAdmin(redirect) as admin:
            assert "status 302" in await refusal(client, plain(admin))
    assert other.asked == []


async def test_nobody_listens(client: AdminClient) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        target = Target(NODE, "127.0.0.1", sock.getsockname()[1], secure=False)
        assert "cannot be reached" in await refusal(client, target)


@pytest.mark.parametrize("first", [b"", b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf"])
async def test_an_answer_that_does_not_come_ends_the_wait(
    admin_ca: Callable[[], Awaitable[bytes]], first: bytes
) -> None:
    async def stall(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(first)

    async with FakeAdmin(stall) as admin:
        client = AdminClient(admin_ca, total_s=0.5)
        assert "did not answer within 0.5 s" in await refusal(client, plain(admin))


async def test_a_connection_that_is_closed_without_an_answer(client: AdminClient) -> None:
    async def close(_: str, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with FakeAdmin(close) as admin:
        assert "closed without an answer" in await refusal(client, plain(admin))


async def test_an_endless_answer_is_cut_off(admin_ca: Callable[[], Awaitable[bytes]]) -> None:
    async def endless(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 0x10000 + b"\r\n")
            await writer.drain()

    async with FakeAdmin(endless) as admin:
        client = AdminClient(admin_ca, max_bytes=2**20, total_s=60)
        assert "more than 1 MiB" in await refusal(client, plain(admin))


async def test_a_compressed_answer_is_refused_unread(client: AdminClient) -> None:
    async def bomb(_: str, writer: asyncio.StreamWriter) -> None:
        data = gzip.compress(b"x" * 10_000_000)
        head = f"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {len(data)}\r\n\r\n"
        writer.write(head.encode() + data)

    async with FakeAdmin(bomb) as admin:
        assert "compressed" in await refusal(client, plain(admin))


async def test_what_is_no_http_and_what_is_no_success(client: AdminClient) -> None:
    async def junk(_: str, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH\r\n\r\n")

    async def missing(_: str, writer: asyncio.StreamWriter) -> None:
        await answer(writer, "not here", "404 Not Found")

    async with FakeAdmin(junk) as admin:
        assert "cannot be reached" in await refusal(client, plain(admin))
    async with FakeAdmin(missing) as admin:
        assert "status 404" in await refusal(client, plain(admin))


async def test_a_question_that_envoy_does_not_understand_is_told_in_one_line(client: AdminClient) -> None:
    async def complain(_: str, writer: asyncio.StreamWriter) -> None:
        await answer(writer, "Invalid re2 regex: \x1b[31mmissing )\n" + "x" * 1_000, "400 Bad Request")

    async with FakeAdmin(complain) as admin:
        with pytest.raises(QuestionRefused, match="Invalid re2 regex") as caught:
            await client.ask(plain(admin), STATS)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1_000


async def test_a_config_dump_is_redacted_and_must_be_json(client: AdminClient) -> None:
    dump = {"configs": [{"tls_certificate": {"private_key": {"inline_string": "the key"}}}]}
    texts = [json.dumps(dump), "[]", "no json", "[" * 100_000]

    async def tell(_: str, writer: asyncio.StreamWriter) -> None:
        await answer(writer, texts.pop(0))

    async with FakeAdmin(tell) as admin:
        reply = await client.ask(plain(admin), question.config_dump(include_eds=True))
        assert b"the key" not in reply.body
        assert b"[redacted]" in reply.body
        for _ in range(3):
            with pytest.raises(ProxyUnavailable, match="not JSON"):
                await client.ask(plain(admin), question.config_dump(include_eds=False))
    assert "/config_dump?include_eds=true" in admin.asked
    assert "/config_dump" in admin.asked


async def test_only_so_many_are_asked_at_once_and_only_so_many_wait(client: AdminClient) -> None:
    asking, most, release = 0, 0, asyncio.Event()

    async def hold(path: str, writer: asyncio.StreamWriter) -> None:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await release.wait()
        asking -= 1
        await answer(writer, path)

    async with FakeAdmin(hold) as admin, asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.ask(plain(admin), STATS)) for _ in range(MAX_WAITING)]
        while asking < MAX_AT_ONCE:
            await asyncio.sleep(0)
        async with asyncio.timeout(PATIENCE_S):
            assert "too many proxies" in await refusal(client, plain(admin))
        release.set()
        replies = [await task for task in tasks]
    assert len(replies) == MAX_WAITING
    assert most == MAX_AT_ONCE
    async with FakeAdmin(echo) as admin:
        assert (await client.ask(plain(admin), STATS)).body
