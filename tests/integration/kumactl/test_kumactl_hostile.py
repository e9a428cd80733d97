"""kumactl and servers that do not mean well: one clear line, in bounded time and memory."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from kumactl import client, transport_client
from rest_stub import Raw, configure, raw_server, rest_stub
from running_api import Kumactl, Outcome

LIST = ("get", "meshes")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


async def answer(tmp_path: Path, talk: Raw, *args: str) -> Outcome:
    async with raw_server(talk) as url:
        configure(tmp_path, url)
        return await Kumactl(tmp_path)(*(args or LIST))


def sends(*parts: bytes, then: Callable[[], bytes] | None = None) -> Raw:
    """Reads the request, sends the parts, then more and more of the last until nobody reads any longer."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
        while then is not None:
            writer.write(then())
            await writer.drain()

    return talk


def body(content: bytes) -> Raw:
    return sends(HEAD + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not the REST API of a Kuma control plane"),
        (b"<html>", "is not the REST API of a Kuma control plane"),
        (b"[]", "is not the REST API of a Kuma control plane"),
        (b"\xff\xfe", "is not the REST API of a Kuma control plane"),
        (b"[" * 200_000, "is not the REST API of a Kuma control plane"),
        (b'{"items": [{"name": "\\ud800"}]}', "is not the REST API of a Kuma control plane"),
        (b"9" * 10_000, "is not the REST API of a Kuma control plane"),
        (b"{}", "the answer to /meshes is no list of resources"),
        (b'{"items": {}}', "the answer to /meshes is no list of resources"),
        (b'{"items": [1]}', "the answer to /meshes is no list of resources"),
    ],
)
async def test_nonsense(tmp_path: Path, content: bytes, reason: str) -> None:
    for output in ("table", "yaml", "json"):
        ran = await answer(tmp_path, body(content), *LIST, "-o", output)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran.err
        assert reason in ran.err


@pytest.mark.parametrize("content", [b"<html>", b"[]", b"gone"])
async def test_nothing_was_deleted_by_what_is_no_control_plane(tmp_path: Path, content: bytes) -> None:
    ran = await answer(tmp_path, body(content), "delete", "mesh", "a")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "is not the REST API of a Kuma control plane" in ran.err


async def test_wrong_fields_are_as_good_as_absent(tmp_path: Path) -> None:
    item = {
        "name": 5,
        "mtls": "x",
        "routing": [1],
        "creationTime": 7,
        "modificationTime": {},
        "logging": None,
    }
    ran = await answer(tmp_path, body(json.dumps({"items": [item], "next": 5}).encode()))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[1].split() == ["5", *["off"] * 6]


async def test_names_do_not_steer_the_terminal(tmp_path: Path) -> None:
    item = {"name": "a\x1b]0;b\x07\r\n* c\u202e"}
    page = {"items": [item], "next": "/meshes?offset=%1B%5D0;b%07%0Ac"}
    ran = await answer(tmp_path, body(json.dumps(page).encode()))
    assert ran.code == 0
    assert ran.out.count("\n") == 4
    assert not {"\x1b", "\x07", "\r", "\u202e"} & set(ran.out)


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD + b"Content-Length: 100\r\n\r\n{",),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{",),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}{}{\r\n",),
    ],
)
async def test_answers_that_break_off(tmp_path: Path, parts: tuple[bytes, ...]) -> None:
    ran = await answer(tmp_path, sends(*parts))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "it ends the connection in the middle of its answer" in ran.err


@pytest.mark.parametrize("start", [b"", b"SSH-2.0-OpenSSH\r\n", b"HTTP/1.1 xyz\r\n\r\n", b"\0" * 100])
async def test_no_answer_at_all(tmp_path: Path, start: bytes) -> None:
    ran = await answer(tmp_path, sends(start))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert ran.err.startswith("Error: cannot reach the control plane at http://127.0.0.1:")
    assert "start it with `kuma-cp run`" in ran.err


@pytest.mark.parametrize("framing", [b"\r\n", b"Content-Length: 99999999999\r\n\r\n"])
async def test_endless_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, framing: bytes) -> None:
    monkeypatch.setattr(transport_client, "MAX_ANSWER_BYTES", 2**20)
    block = b" " * 65_536
    for args in (LIST, ("inspect", "dataplane", "a", "--type=stats"), ("delete", "mesh", "a")):
        ran = await answer(tmp_path, sends(HEAD + framing, then=lambda: block), *args)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert "the answer is larger than 1 MiB" in ran.err


@pytest.mark.parametrize("start", [b"", HEAD, HEAD + b"\r\n", HEAD + b"Transfer-Encoding: chunked\r\n\r\n"])
async def test_answers_that_come_byte_by_byte(tmp_path: Path, start: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(start)
        while not writer.is_closing():
            writer.write(b"a")
            await writer.drain()
            # The fault: too fast for the timeout of a socket, so that only that of the whole request counts.
            await asyncio.sleep(0.02)

    ran = await answer(tmp_path, talk, *LIST, "--api-timeout", "300ms")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "it does not answer in time (--api-timeout)" in ran.err


async def test_lists_without_an_end(tmp_path: Path) -> None:
    page = {"total": 10**9, "items": [{"name": "a"}], "next": "http://elsewhere.invalid/x?offset=1"}
    async with rest_stub({"/mesh-insights": page}) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("inspect", "meshes")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "the list /mesh-insights does not go on: it names the page 1 again" in ran.err
    assert stub.asked == ["GET /mesh-insights?size=1000", "GET /mesh-insights?size=1000&offset=1"]


@pytest.mark.parametrize(
    "content", [b"", b"<html>", b"a.b", b"a.b.c\n", b"a.b.c\x1b[31m", b"a..c", b"\xff.b.c"]
)
async def test_what_is_no_token_is_not_printed(tmp_path: Path, content: bytes) -> None:
    ran = await answer(tmp_path, body(content), "generate", "dataplane-token", "--valid-for", "1h")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "is not the REST API of a Kuma control plane" in ran.err


async def test_lists_of_many_small_pages_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_PAGES", 5)
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while asked < 20:
            await reader.readuntil(b"\r\n\r\n")
            asked += 1
            page = json.dumps({"items": [{"name": "a"}], "next": f"?offset={asked}"}).encode()
            writer.write(HEAD + f"Content-Length: {len(page)}\r\n\r\n".encode() + page)

    ran = await answer(tmp_path, talk, "inspect", "meshes")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "the list /mesh-insights has more than 5 pages" in ran.err
    assert asked == 5


async def test_lists_that_always_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport_client, "MAX_ANSWER_BYTES", 2**20)
    asked = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readuntil(b"\r\n\r\n"):
            asked += 1
            page = {"items": [{"name": "a" * 50_000}], "next": f"/?offset={asked}"}
            content = json.dumps(page).encode()
            writer.write(HEAD + f"Content-Length: {len(content)}\r\n\r\n".encode() + content)

    ran = await answer(tmp_path, talk, "inspect", "meshes")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "the list /mesh-insights is larger than 1 MiB" in ran.err
    assert asked == 21


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    ran = await answer(tmp_path, sends(b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere.invalid/\r\n\r\n"))
    assert (ran.code, ran.err) == (1, "Error: the control plane answered with status 302\n")


async def test_compressed_answers_are_not_unpacked(tmp_path: Path) -> None:
    packed = gzip.compress(b'{"items": [{"name": "unpacked"}]}')
    head = HEAD + f"Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
    ran = await answer(tmp_path, sends(head + packed))
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "is not the REST API of a Kuma control plane" in ran.err


async def test_huge_refusals_are_cut(tmp_path: Path) -> None:
    parameters = [{"field": "f" * 10_000, "reason": "x\x1b[2J\n"}, 5, {"field": []}] * 1_000
    document = {"title": "T" * 10**6, "detail": "d" * 10**6, "invalid_parameters": parameters}
    content = json.dumps(document).encode()
    head = f"HTTP/1.1 400 Bad\r\nContent-Length: {len(content)}\r\n\r\n".encode()
    ran = await answer(tmp_path, sends(head + content))
    assert ran.code == 1
    assert len(ran.err) < 500_000
    assert ran.err.splitlines()[-1] == "* and 1900 more"
    assert "\x1b" not in ran.err


@pytest.mark.parametrize(
    "args",
    [
        ("inspect", "dataplanes"),
        ("inspect", "services"),
        ("inspect", "zones"),
        ("inspect", "dataplane", "a"),
        ("inspect", "traffic-permission", "a"),
        ("get", "mesh", "a"),
        ("export",),
        ("version",),
        ("generate", "dataplane-token", "--valid-for=1h"),
        ("config", "control-planes", "add", "--name=x", "--address"),
    ],
)
async def test_every_command_survives_nonsense(tmp_path: Path, args: tuple[str, ...]) -> None:
    for content in (b"\xff", b"[]", b'{"items": 5}', b'"\\ud800"', b"{" * 100):
        async with raw_server(body(content)) as url:
            configure(tmp_path, url)
            ran = await Kumactl(tmp_path)(*args, *([url] if args[-1] == "--address" else []))
        assert "internal error" not in ran.err, ran.err
        assert ran.err.count("\n") <= 1
