"""One line for each change of state, whoever causes it, and no secret in any of them."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from ads_client import AdsClient
from dp_plane import MTLS, dataplane, eventually, first_store, running
from kumamesh import logs
from kumamesh.xds import LISTENER, SECRET

IDENTITY = "identity_cert:secret:default"
LINE = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z (?:DEBUG|INFO|WARNING|ERROR) +[\w.]+: .+")


class Log:
    """What was logged, at the level debug."""

    def __init__(self) -> None:
        self.stream = io.StringIO()

    @property
    def lines(self) -> list[str]:
        return self.stream.getvalue().splitlines()

    def about(self, text: str) -> list[str]:
        """Lines from the message on."""
        return [line.split(": ", 1)[1] for line in self.lines if text in line]


@pytest.fixture
def log() -> Iterator[Log]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    found = Log()
    logs.configure("debug", "text", found.stream)
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)


async def test_a_proxy_comes_and_goes(tmp_path: Path, log: Log) -> None:
    async with running(await first_store(), tmp_path) as plane:
        async with await plane.connect(dataplane()) as client:
            await client.leave()
        await plane.gone()
        await plane.put(dataplane())
        async with await plane.connect(dataplane()) as client:
            await client.kill()
            await eventually(lambda: _told(log, "ending=lost"))
    assert log.about("default.web-1") == [
        "registered proxy=default.web-1",
        "connected proxy=default.web-1",
        "disconnected proxy=default.web-1 ending=clean",
        "deregistered proxy=default.web-1",
        "connected proxy=default.web-1",
        "disconnected proxy=default.web-1 ending=lost",
    ]


async def test_certificates_are_told_when_they_are_renewed(tmp_path: Path, log: Log) -> None:
    async with running(await first_store(mtls=True), tmp_path) as plane:
        backend = {**MTLS["backends"][0], "dpCert": {"rotation": {"expiration": "2s"}}}  # type: ignore[dict-item]
        await plane.put({"type": "Mesh", "name": "default", "mtls": {**MTLS, "backends": [backend]}})
        async with await plane.connect(dataplane()) as client:
            await client.ask_secrets()
            await client.until(lambda: IDENTITY in client.held.get(SECRET, {}))
            first = client.held[SECRET][IDENTITY]
            await client.until(lambda: client.held[SECRET][IDENTITY] != first)
    told = [line.split()[1:] for line in log.lines if ": certificate " in line]
    assert [(level, what) for level, _, _, what, *_ in told][:2] == [("DEBUG", "issued"), ("INFO", "renewed")]
    assert all("proxy=default.web-1" in line and "backend=ca-1" in line for line in told)


async def test_refused_tokens_are_told_with_reason_and_proxy_and_never_shown(
    tmp_path: Path, log: Log
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        expired = await plane.token("web-1", valid_for_s=-1.0)
        foreign = await plane.token("somebody-else")
        good = await plane.token("web-2")
        for token in (expired, foreign):
            async with plane.client(dataplane(), token) as client:
                await client.ask()
                await client.ended()
        async with await plane.connect(dataplane("web-2"), good):
            pass
    refused = log.about("refused: ")
    assert len(refused) == 2
    assert "token is expired" in refused[0]
    assert "reason=expired" in refused[0]
    assert "reason=denied" in refused[1]
    assert all("proxy=default.web-1" in line for line in refused)
    whole = log.stream.getvalue()
    for token in (expired, foreign, good):
        assert all(part not in whole for part in token.split("."))


async def test_what_a_client_writes_stays_in_its_line(tmp_path: Path, log: Log) -> None:
    forged = "x\n2026-01-01T00:00:00.000Z INFO    kumacp.app: kuma-cp is stopping\r\x1b[2J"
    async with running(await first_store(), tmp_path) as plane:
        async with plane.client(node_id=f"default.{forged}") as client:
            await client.ask()
            await client.ended()
        async with plane.client(dataplane(), await plane.token("web-1"), auto_ack=False) as client:
            await client.ask(LISTENER)
            await client.until(lambda: client.responses)
            await client.answer(client.responses[0], error=forged)
            await eventually(lambda: _told(log, "refused its configuration"))
    assert all(LINE.fullmatch(line) and line.isprintable() for line in log.lines)
    assert len(log.about("kuma-cp is stopping")) == 2


async def _told(log: Log, text: str) -> bool:
    return bool(log.about(text))


async def test_a_flood_of_refused_clients_neither_fills_the_log_nor_hides_others(
    tmp_path: Path, log: Log
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        for _ in range(60):
            async with plane.client(dataplane(), "no.good.token") as client:
                await client.ask()
                await client.ended()
        async with plane.client(dataplane(), await plane.token("somebody-else")) as client:
            await client.ask()
            await client.ended()
        assert plane.server.stats.streams_refused["unauthenticated"] == 61
        assert plane.server.lines.held == 40
    assert len(log.about("reason=malformed")) == 20
    assert len(log.about("reason=denied")) == 1


async def test_a_client_that_is_refused_is_counted_by_its_reason(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        async with await plane.connect(dataplane()), plane.client(dataplane("web-9")) as client:
            await client.ask()
            await client.ended()
            second: AdsClient
            async with plane.client(dataplane(), await plane.token("web-1")) as second:
                await second.ask()
                await second.ended()
        assert plane.server.stats.streams_refused == {"unauthenticated": 1, "already_exists": 1}
        assert plane.server.stats.tokens_refused == {"missing": 1}
