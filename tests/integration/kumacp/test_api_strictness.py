"""Requests that are wrong are told so, and leave nothing behind (contract 9.2, 9.6)."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from running_api import RunningApi, running_api

ZONE = b'{"type":"Zone","name":"east"}'


class Rest:
    """Requests with bodies and paths as they are given, answered as (status, document)."""

    def __init__(self, api: RunningApi, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session

    async def __call__(
        self, method: str, path: str, body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        url = URL(self.api.http_url + path, encoded=True)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self._session.request(method, url, data=body, headers=named) as answer:
            assert answer.headers["Content-Type"].startswith("application/")
            return answer.status, json.loads(await answer.read())


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    skip = {"Content-Type"}
    async with (
        running_api(tmp_path) as api,
        aiohttp.ClientSession(skip_auto_headers=skip) as session,
    ):
        yield Rest(api, session)


async def zones(rest: Rest) -> int:
    return (await rest("GET", "/zones"))[1]["total"]


@pytest.mark.parametrize(
    "content_type",
    [None, "", "application/json", "APPLICATION/JSON; charset=utf-8", "application/merge-patch+json"],
)
async def test_json_may_be_called_so_or_not_at_all(rest, content_type):
    headers = {} if content_type is None else {"Content_Type": content_type}
    assert (await rest("PUT", "/zones/east", ZONE, **headers))[0] == 201


@pytest.mark.parametrize(
    "content_type",
    [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/yaml",
    ],
)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/zones/east"), ("POST", "/tokens/zone")])
async def test_what_calls_itself_something_else_is_refused(rest, method, path, content_type):
    status, document = await rest(method, path, ZONE, Content_Type=content_type)
    assert (status, document["title"]) == (415, "Unsupported Media Type")
    assert document["detail"].endswith("; send JSON as application/json")
    assert await zones(rest) == 0


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "Expecting value"),
        (b"\x00\x01\x02\xff\xfe", "not a text in UTF-8"),
        (b"\x1f\x8b\x08\x00", "not a text in UTF-8"),
        ('{"type":"Zone","name":"east"}'.encode("utf-16"), "not a text in UTF-8"),
        (b'{"type":"Zone"', "Expecting"),
        (b'{"name":"east","name":"west"}', "the key 'name' is written twice in one object"),
        (b'{"labels":{"a":"1","a":"2"}}', "the key 'a' is written twice in one object"),
        (b'{"enabled":NaN}', "NaN is no number of JSON"),
        (b'{"enabled":-Infinity}', "-Infinity is no number of JSON"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "nested too deeply"),
        (b'{"enabled":' + b"9" * 10_000 + b"}", "too many digits"),
        (b"null", "the body must be a JSON object"),
        (b'"Zone"', "the body must be a JSON object"),
    ],
)
async def test_bodies_that_are_no_resource(rest, body, told):
    status, document = await rest("PUT", "/zones/east", body)
    assert (status, document["title"]) == (400, "Bad Request")
    assert told in document["detail"]
    assert len(document["detail"]) < 200
    assert await zones(rest) == 0


async def test_nesting_within_json_but_beyond_any_resource(rest):
    body = b'{"mtls":{"backends":[{"name":"a","type":"builtin","conf":' + b'{"a":' * 200 + b"1" + b"}" * 200
    status, document = await rest("PUT", "/meshes/deep", body + b"}]}}")
    assert status == 400
    assert "nested" in json.dumps(document["invalid_parameters"])
    assert (await rest("GET", "/meshes/deep"))[0] == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/zones/..", 404),
        ("/zones/%2e%2e", 404),
        ("/meshes/../config", 404),
        ("/zones/%2e%2e%2f%2e%2e%2fetc%2fpasswd", 404),
        ("/zones/a%2fb", 404),
        ("/zones/%00", 404),
        ("/zones/a%0d%0aX-Evil:%201", 404),
        ("/zones/%ff%fe", 404),
        ("/zones//", 404),
        ("//zones", 404),
        ("/meshes//dataplanes", 404),
        ("/zones/" + "a" * 254, 404),
        ("/zones/" + "a" * 7_000, 404),
        ("/zones?size=1&size=2", 400),
        ("/zones?nam=a", 400),
        ("/zones?name=%00", 400),
        ("/zones?name=%ff", 200),
        ("/zones?size=%F0%9F%98%80", 400),
        ("/zones?filter[status]=Online", 400),
        ("/config?name=a", 400),
        ("/zones?" + "&".join(f"filter[labels.a{number}]=b" for number in range(65)), 400),
    ],
)
async def test_paths_that_lead_nowhere(rest, path, status):
    found, document = await rest("GET", path)
    assert found == status
    assert "passwd:" not in json.dumps(document)
    assert "root:" not in json.dumps(document)


@pytest.mark.parametrize("name", ["..", "%2e", "a%2fb", "%00", "A", "a%20b", "a" * 254, "%ff", "_%C3%A4"])
async def test_names_that_are_none_are_not_stored(rest, name):
    status, document = await rest("PUT", f"/zones/{name}", b"{}")
    assert (status, document["invalid_parameters"][0]["field"]) == (400, "name")
    assert await zones(rest) == 0


async def test_a_line_that_is_too_long_ends_in_an_answer(rest):
    reader, writer = await asyncio.open_connection("127.0.0.1", rest.api.server.http_port)
    writer.write(b"GET /zones/" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
    assert b"Traceback" not in answer


async def test_every_write_leaves_one_line_and_no_secret(rest, caplog):
    secret = b'{"type":"Secret","name":"s","mesh":"default","data":"aHVudGVyMg=="}'
    dataplane = {
        "type": "Dataplane",
        "name": "web-1",
        "mesh": "default",
        "networking": {"address": "10.0.0.1", "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}]},
    }
    with caplog.at_level(logging.DEBUG):
        await rest("PUT", "/meshes/default/secrets/s", secret)
        await rest("PUT", "/zones/east", ZONE)
        await rest("PUT", "/zones/east", b'{"enabled":false}')
        await rest("PUT", "/meshes/default/dataplanes/web-1", json.dumps(dataplane).encode())
        await rest("GET", "/meshes/default/secrets/s")
        await rest("PUT", "/zones/WRONG", ZONE)
        await rest("DELETE", "/meshes/default/dataplanes/web-1")
        await rest("DELETE", "/meshes/default/dataplanes/web-1")
    written = [record for record in caplog.records if record.name == "kumacp.api.resources"]
    told = [(record.getMessage(), record.type, record.resource) for record in written]  # type: ignore[attr-defined]
    assert told == [
        ("a resource was created", "Secret", "s"),
        ("a resource was created", "Zone", "east"),
        ("a resource was updated", "Zone", "east"),
        ("a resource was created", "Dataplane", "web-1"),
        ("a resource was deleted", "Dataplane", "web-1"),
    ]
    assert {record.levelname for record in written} == {"INFO"}
    user = "mesh-system:admin/mesh-system:admin,mesh-system:authenticated"
    assert {record.user for record in written} == {user}  # type: ignore[attr-defined]
    assert written[0].mesh == "default"  # type: ignore[attr-defined]
    everything = "".join(f"{record.getMessage()}{vars(record)}" for record in caplog.records)
    assert "hunter2" not in everything
    assert "aHVudGVyMg" not in everything
