"""Tables on their way to the name server: the latest wins, equal ones are not taken over again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from dynconf_listener import dynconf
from kumadp.background_worker import beside
from kumadp.names_driver import Names
from kumadp_dns.document import Document
from kumadp_dns.name_server_process import Applied
from kumadp_dns.table import Refused
from kumamesh.errors import UserError
from name_plane import records


class Server:
    """Takes as long for a table as a test wants; refuses those of `unusable` names."""

    def __init__(self) -> None:
        self.tables: list[list[str]] = []
        self.may = asyncio.Event()
        self.may.set()
        self.unusable: set[str] = set()
        self.refused: tuple[Refused, ...] = ()

    async def apply(self, document: Document) -> Applied:
        names = [record.name for record in document.records]
        self.tables.append(names)
        await self.may.wait()
        if self.unusable & set(names):
            raise UserError("the name server cannot use its new names: no memory")
        return Applied(len(names), self.refused, len(self.refused) * 10)


class Driven:
    def __init__(self) -> None:
        self.server = Server()
        self.firsts = 0
        self.names = Names(cast(Any, self.server), 0.0, self._first)

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
