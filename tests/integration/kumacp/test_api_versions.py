"""Two writers of one resource: whoever names a version acts on that one or not at all (kuma-cp 2.0)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from running_api import RunningApi, running_api

PATH = "/zones/east"


class Writer:
    """Requests about one resource, answered as (status, detail of an error)."""

    def __init__(self, api: RunningApi, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session
        self.etag = ""

    def another(self) -> Writer:
        return Writer(self.api, self._session)

    async def __call__(
        self,
        method: str,
        enabled: bool = True,
        *,
        condition: str | None = None,
        unless: str | None = None,
        writer: str = "",
    ) -> Any:
        zone = {"type": "Zone", "name": "east", "enabled": enabled, "labels": {"writer": writer}}
        body = zone if method == "PUT" else None
        conditions = {"If-Match": condition, "If-None-Match": unless}
        headers = {name: value for name, value in conditions.items() if value is not None}
        url = self.api.http_url + PATH
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            self.etag = answer.headers.get("ETag", "")
            text = await answer.text()
            return answer.status, json.loads(text).get("detail", "") if text else ""

    @property
    def version(self) -> int:
        """That of the last answer."""
        return int(self.etag[1:].partition("-")[0])

    def tag(self, version: int) -> str:
        """The ETag of that version of what the last answer was about."""
        return self.etag.replace(str(self.version), str(version), 1)


@pytest.fixture
async def write(tmp_path: Path) -> AsyncIterator[Writer]:
    async with running_api(tmp_path) as api, aiohttp.ClientSession() as session:
        yield Writer(api, session)


async def test_every_answer_about_a_resource_tells_its_version(write):
    assert await write("PUT") == (201, "")
    assert write.version == 1
    assert await write("PUT", False) == (200, "")
    assert write.version == 2
    assert await write("PUT", False) == (200, "")
    assert write.version == 2, "a write that changes nothing makes no version"
    await write("GET")
    assert write.version == 2


async def test_the_version_that_was_read_can_be_replaced(write):
    await write("PUT")
    assert await write("PUT", False, condition=write.etag) == (200, "")
    assert await write("PUT", True, condition=f" {write.tag(7)} , {write.tag(2)} ") == (200, "")
    assert await write("PUT", False, condition="*") == (200, "")
    assert write.version == 4


async def test_a_version_that_is_gone_is_not_replaced(write):
    await write("PUT")
    gone = write.etag
    await write("PUT", False)
    for method in ("PUT", "DELETE"):
        status, detail = await write(method, True, condition=gone)
        assert status == 409
        assert "was changed by another writer; read it again and retry" in detail
    await write("GET")
    assert write.version == 2


async def test_the_version_that_was_read_can_be_deleted(write):
    await write("PUT")
    assert await write("DELETE", condition=write.etag) == (200, "")
    assert (await write("GET"))[0] == 404


@pytest.mark.parametrize("condition", ['"1-1"', "*"])
@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_what_is_not_there_has_no_version(write, method, condition):
    status, detail = await write(method, condition=condition)
    assert status == 409
    assert "not found" in detail
    assert (await write("GET"))[0] == 404


@pytest.mark.parametrize(
    "condition", ["", "1-1", 'W/"1-1"', '"one"', '"1"', '"0-1"', '"1-1", x', '"1-1"' + ',"1-1"' * 200]
)
async def test_a_condition_that_no_version_meets_is_refused(write, condition):
    await write("PUT")
    status, detail = await write("PUT", False, condition=condition)
    assert status == 400
    assert detail.startswith("If-Match must be")


async def test_what_was_read_already_is_not_sent_again(write):
    await write("PUT")
    first = write.etag
    for unless in (first, f"W/{first}", f'"x", {first}', "*"):
        assert await write("GET", unless=unless) == (304, "")
        assert write.etag == first
    await write("PUT", False)
    for unless in (first, "", '"x"', "x"):
        assert (await write("GET", unless=unless))[0] == 200
        assert write.version == 2


async def test_a_resource_that_is_created_again_is_another_one(write):
    await write("PUT")
    gone = write.etag
    await write("DELETE")
    assert (await write("GET", unless=gone))[0] == 404
    await write("PUT", False)
    assert write.version == 1
    assert (await write("GET", unless=gone))[0] == 200
    for method in ("PUT", "DELETE"):
        assert (await write(method, condition=gone))[0] == 409


async def test_of_two_writers_of_one_version_one_wins(write):
    await write("PUT")
    for version in range(1, 11):
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(
                    write.another()("PUT", condition=write.tag(version), writer=f"{number}-{version}")
                )
                for number in range(5)
            ]
        assert sorted(task.result()[0] for task in tasks) == [200, 409, 409, 409, 409]
    await write("GET")
    assert write.version == 11


async def test_of_a_writer_and_a_deleter_of_one_version_one_wins(write):
    for _ in range(5):
        await write("PUT", True)
        tag = write.etag
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(write.another()("PUT", False, condition=tag)),
                group.create_task(write.another()("DELETE", condition=tag)),
            ]
        assert sorted(task.result()[0] for task in tasks) == [200, 409]
        await write("DELETE")
