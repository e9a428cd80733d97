"""Tables on their way to the name server: the latest wins, equal ones are not taken over again."""

from __future__ import annotations

import asyncio
import errno
import logging
import sys
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from dynconf_listener import dynconf
from kumadp.background_worker import beside
from kumadp.envoy.admin import AdminError
from kumadp.names_driver import Names
from kumadp_dns.answers.document import Document
from kumadp_dns.answers.table import Refused
from kumadp_dns.name_server_process import Applied
from kumamesh.errors import UserError
from name_plane import records


class Server:
    """Takes as long for a table as a test wants; refuses those of `unusable` names."""

    def __init__(self) -> None:
        self.tables: list[list[str]] = []
        self.addresses: list[str] = []
        self.may = asyncio.Event()
        self.may.set()
        self.unusable: set[str] = set()
        self.shortages = 0
        """How often the host is short of files."""
        self.refused: tuple[Refused, ...] = ()

    async def apply(self, document: Document) -> Applied:
        names = [record.name for record in document.records]
        self.tables.append(names)
        self.addresses = [ip for record in document.records for ip in record.ips]
        await self.may.wait()
        if self.shortages:
            self.shortages -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        if self.unusable & set(names):
            raise UserError("the name server cannot use its new names: no memory")
        return Applied(len(names), self.refused, len(self.refused) * 10)


class Driven:
    def __init__(self, *, bound: bool = False) -> None:
        self.server = Server()
        self.firsts = 0
        self.open: set[str] | None = set()
        """Addresses that Envoy listens on; None: it does not say."""
        self.names = Names(cast(Any, self.server), 0.0, self._first, self._listening if bound else None)

    async def _listening(self) -> frozenset[str]:
        if self.open is None:
            raise AdminError("/listeners failed")
        return frozenset(self.open)

    def _first(self) -> None:
        self.firsts += 1

    def offer(self, *names: str) -> None:
        page = records({name: ["127.240.0.1"] for name in names})
        self.names.offer(dynconf({"/dns": page}).SerializeToString())

    async def settled(self, tables: list[list[str]], *, firsts: int) -> None:
        async with asyncio.timeout(20):
            while self.server.tables != tables or self.firsts != firsts:
                await asyncio.sleep(0.001)


@pytest.fixture
async def driven() -> AsyncIterator[Driven]:
    made = Driven()
    async with beside(made.names.run(), "names"):
        yield made


async def test_what_comes_while_one_is_taken_over_is_coalesced(driven: Driven) -> None:
    driven.server.may.clear()
    driven.offer("a")
    await driven.settled([["a"]], firsts=0)
    for name in "bcd":
        driven.offer(name)
    driven.server.may.set()
    await driven.settled([["a"], ["d"]], firsts=1)
    assert driven.names.first.waited is not None


async def test_equal_tables_are_taken_over_once(driven: Driven) -> None:
    driven.offer("a")
    await driven.settled([["a"]], firsts=1)
    driven.offer("a")
    driven.names.offer(b"")
    await driven.settled([["a"], []], firsts=1)
    driven.names.offer(dynconf({"/meshmetric": "{}"}).SerializeToString())
    driven.offer("b")
    await driven.settled([["a"], [], ["b"]], firsts=1)


async def test_a_table_that_could_not_be_used_is_no_first_one_and_is_tried_again(
    driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    driven.server.unusable = {"a"}
    driven.offer("a")
    await driven.settled([["a"]], firsts=0)
    driven.server.unusable = set()
    driven.offer("a")
    await driven.settled([["a"], ["a"]], firsts=1)
    assert [record.message for record in caplog.records if record.levelno == logging.WARNING] == [
        "the name server cannot use its new names: no memory"
    ]


async def test_refused_entries_are_one_bounded_line(driven: Driven, caplog: pytest.LogCaptureFixture) -> None:
    driven.server.refused = tuple(
        Refused(f"{'n' * 60}-{number}", "address\nx", "not an IP address") for number in range(5)
    )
    driven.offer("a")
    await driven.settled([["a"]], firsts=1)
    (line,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert line.startswith("entries of the name table that are not used: 50 (nnn")
    assert line.endswith("; and 47 more)")
    assert "\n" not in line
    assert len(line) < 300


@pytest.fixture
async def bound() -> AsyncIterator[Driven]:
    made = Driven(bound=True)
    async with beside(made.names.run(), "names"):
        yield made


async def test_names_lose_addresses_where_envoy_cannot_listen_until_it_can(
    bound: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    bound.offer("a")
    bound.names.answered(whole=False)
    await bound.settled([["a"]], firsts=1)
    assert bound.server.addresses == []
    (line,) = (record.message for record in caplog.records if record.levelno == logging.WARNING)
    assert "could not listen on it: 1 (a 127.240.0.1); another program of this host has it" in line
    bound.open = {"127.240.0.1"}
    bound.names.answered(whole=True)
    await bound.settled([["a"], ["a"]], firsts=1)
    assert bound.server.addresses == ["127.240.0.1"]


async def test_an_envoy_that_took_all_listeners_is_not_asked(bound: Driven) -> None:
    bound.open = None
    bound.offer("a")
    bound.names.answered(whole=True)
    await bound.settled([["a"]], firsts=1)
    assert bound.server.addresses == ["127.240.0.1"]


async def test_an_envoy_that_does_not_say_where_it_listens_is_asked_again(
    bound: Driven, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kumadp.names_driver._AGAIN_S", 0.01)
    bound.open = None
    bound.names.answered(whole=False)
    bound.offer("a")
    async with asyncio.timeout(20):
        while not caplog.records:
            await asyncio.sleep(0.001)
    assert bound.server.tables == []
    bound.open = {"127.240.0.1"}
    await bound.settled([["a"]], firsts=1)


async def test_a_host_that_is_short_of_something_gets_its_names_later(
    driven: Driven, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("kumadp.names_driver._AGAIN_S", 0.01)
    driven.server.shortages = 2
    driven.offer("a")
    await driven.settled([["a"], ["a"], ["a"]], firsts=1)
    lines = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert lines == [
        "the names cannot be taken over, those before stay until they can: [Errno 24] Too many open files"
    ]


async def test_names_of_any_letters_can_lose_their_addresses(bound: Driven) -> None:
    page = '{"records": [{"name": "\\ud800", "ips": ["127.240.0.1"]}, {"name": "a"}]}'
    bound.names.offer(dynconf({"/dns": page}).SerializeToString())
    bound.names.answered(whole=False)
    await bound.settled([["\ud800", "a"]], firsts=1)


async def test_refused_listeners_mean_nothing_where_connections_are_redirected(driven: Driven) -> None:
    driven.offer("a")
    driven.names.answered(whole=False)
    await driven.settled([["a"]], firsts=1)
    assert driven.server.addresses == ["127.240.0.1"]


async def test_tables_that_change_all_the_time_do_not_fill_the_log(
    driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    for number in range(20):
        driven.offer(f"a{number}")
        await driven.settled([[f"a{n}"] for n in range(number + 1)], firsts=1)
    assert [record.message for record in caplog.records] == ["1 names of the mesh are answered"]


async def test_a_table_that_was_taken_over_is_not_kept(driven: Driven) -> None:
    listener = dynconf({"/dns": records({"a": ["127.240.0.1"]})}).SerializeToString()
    kept = sys.getrefcount(listener)
    driven.names.offer(listener)
    await driven.settled([["a"]], firsts=1)
    async with asyncio.timeout(20):
        while sys.getrefcount(listener) > kept:
            await asyncio.sleep(0.001)


async def test_work_that_fails_is_told_and_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise RuntimeError("no luck\nat all")

    async with beside(fail(), "the work"):
        async with asyncio.timeout(20):
            while not caplog.records:
                await asyncio.sleep(0.001)
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR] == [
        "the work ended: RuntimeError('no luck\\nat all'); restart the proxy"
    ]
