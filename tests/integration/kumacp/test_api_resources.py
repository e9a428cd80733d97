"""CRUD, lists and errors over a real server (contract 9.2, 9.6)."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kumacp.api.exchange import MAX_BODY_BYTES
from kumacp.listen_server import listen
from kumamesh.errors import UserError
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight
from running_api import RunningApi, running_api

ADMIN_ROUTE = "/meshes/default/secrets"


def dataplane(name: str, service: str = "web", **fields: Any) -> dict[str, Any]:
    networking = {"address": "10.0.0.1", "inbound": [{"port": 8080, "tags": {"kuma.io/service": service}}]}
    return {"type": "Dataplane", "mesh": "default", "name": name, "networking": networking} | fields


class Rest:
    """Requests to the server, answered as (status, document)."""

    def __init__(self, api: RunningApi, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, **settings: Any
    ) -> tuple[int, dict[str, Any]]:
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        async with self._session.request(method, self.api.http_url + path, data=body, **settings) as answer:
            return answer.status, json.loads(await answer.read())


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with running_api(tmp_path) as api, aiohttp.ClientSession() as session:
        yield Rest(api, session)


def fields(document: dict[str, Any]) -> dict[str, str]:
    return {item["field"]: item["reason"] for item in document["invalid_parameters"]}


async def test_a_resource_is_created_read_updated_listed_and_deleted(rest):
    path = "/meshes/default/dataplanes/web-1"
    assert (await rest("GET", path))[0] == 404
    assert await rest("PUT", path, dataplane("web-1")) == (201, {})
    status, first = await rest("GET", path)
    assert status == 200
    assert list(first)[:3] == ["type", "mesh", "name"]
    assert first["networking"]["address"] == "10.0.0.1"
    assert first["labels"]["kuma.io/zone"] == "default"
    assert first["creationTime"].endswith("Z")
    changed = dataplane("web-1")
    changed["networking"]["address"] = "10.0.0.2"
    assert await rest("PUT", path, changed) == (200, {})
    assert (await rest("GET", path))[1]["networking"]["address"] == "10.0.0.2"
    for collection in ("/meshes/default/dataplanes", "/dataplanes"):
        _, listed = await rest("GET", collection)
        assert (listed["total"], listed["next"]) == (1, None)
        assert listed["items"][0]["name"] == "web-1"
    assert await rest("DELETE", path) == (200, {})
    assert (await rest("DELETE", path))[0] == 404


async def test_what_was_read_can_be_written_back(rest):
    await rest("PUT", "/meshes/default/dataplanes/web-1", dataplane("web-1"))
    _, document = await rest("GET", "/meshes/default/dataplanes/web-1")
    assert await rest("PUT", "/meshes/default/dataplanes/web-1", document) == (200, {})


async def test_aliases_reach_the_same_resource(rest):
    secret = {"type": "GlobalSecret", "name": "s", "data": "YWJj"}
    assert (await rest("PUT", "/global-secrets/s", secret))[0] == 201
    assert (await rest("GET", "/globalsecrets/s"))[1]["data"] == "YWJj"


async def test_warnings_come_back(rest):
    status, document = await rest("PUT", "/meshes/default/dataplanes/web_1", dataplane("web_1"))
    assert status == 201
    assert "old form" in document["warnings"][0]


async def test_pages_lead_from_one_to_the_next(rest):
    for number in range(5):
        await rest("PUT", f"/meshes/default/dataplanes/d{number}", dataplane(f"d{number}"))
    _, page = await rest("GET", "/meshes/default/dataplanes?size=2&name=d")
    assert (page["total"], [item["name"] for item in page["items"]]) == (5, ["d0", "d1"])
    seen = list(page["items"])
    while page["next"]:
        assert page["next"].startswith(f"{rest.api.http_url}/meshes/default/dataplanes?name=d&")
        _, page = await rest("GET", page["next"].removeprefix(rest.api.http_url))
        seen += page["items"]
    assert [item["name"] for item in seen] == [f"d{number}" for number in range(5)]


async def test_lists_are_filtered(rest):
    await rest("PUT", "/meshes/default/dataplanes/a", dataplane("a", "web", labels={"env": "prod"}))
    await rest("PUT", "/meshes/default/dataplanes/b", dataplane("b", "api"))
    for query in ("tag=kuma.io/service:web", "filter[labels.env]=prod", "name=a"):
        for path in ("/dataplanes", "/meshes/default/dataplanes/_overview"):
            _, listed = await rest("GET", f"{path}?{query}")
            assert [item["name"] for item in listed["items"]] == ["a"], (path, query)


@pytest.mark.parametrize(
    ("path", "detail"),
    [
        ("/meshes/default/dataplanes?size=1001", "Invalid page size of 1001. Maximum page size is 1000"),
        ("/meshes/default/dataplanes?offset=x", "Invalid offset"),
    ],
)
async def test_wrong_pages_are_refused(rest, path, detail):
    status, document = await rest("GET", path)
    assert (status, document["title"], document["detail"]) == (400, "Could not retrieve resources", detail)


async def test_all_violations_are_told_and_nothing_is_stored(rest):
    body = dataplane("web-1")
    body["networking"] = {"address": "0.0.0.0", "inbound": [{"port": 70000, "tags": {}}], "outbond": []}
    status, document = await rest("PUT", "/meshes/default/dataplanes/web-1", body)
    assert (status, document["title"]) == (400, "Could not create a resource")
    assert document["detail"] == "Resource is not valid"
    found = fields(document)
    assert "networking.address" in found
    assert "networking.inbound[0].port" in found
    assert "outbound" in found["networking.outbond"]
    assert (await rest("GET", "/dataplanes"))[1]["total"] == 0


async def test_a_refused_update_changes_nothing(rest):
    await rest("PUT", "/meshes/default/dataplanes/web-1", dataplane("web-1"))
    body = dataplane("web-1")
    body["networking"]["address"] = 5
    status, document = await rest("PUT", "/meshes/default/dataplanes/web-1", body)
    assert (status, document["title"]) == (400, "Could not update a resource")
    _, stored = await rest("GET", "/meshes/default/dataplanes/web-1")
    assert stored["networking"]["address"] == "10.0.0.1"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/meshes/default/dataplanes/other", "name"),
        ("/meshes/other/dataplanes/web-1", "mesh"),
        ("/zones/web-1", "type"),
    ],
)
async def test_the_body_must_be_what_the_url_says(rest, path, field):
    status, document = await rest("PUT", path, dataplane("web-1"))
    assert (status, document["title"]) == (400, "Could not process a resource")
    assert fields(document)[field] == f"{field} from the URL has to be the same as in body"


async def test_an_unknown_mesh(rest):
    status, document = await rest("GET", "/meshes/nowhere/dataplanes")
    assert (status, document["title"], document["detail"]) == (404, "Failed to retrieve Mesh", "Not found")
    body = dataplane("web-1", mesh="nowhere")
    status, document = await rest("PUT", "/meshes/nowhere/dataplanes/web-1", body)
    assert status == 400
    assert "nowhere" in fields(document)["mesh"]


async def test_a_mesh_with_data_planes_stays(rest):
    await rest("PUT", "/meshes/default/dataplanes/web-1", dataplane("web-1"))
    status, document = await rest("DELETE", "/meshes/default")
    assert (status, document["title"]) == (400, "Could not delete a resource")
    assert "still some dataplanes attached" in fields(document)["mesh"]


@pytest.mark.parametrize(
    ("method", "path", "status", "title"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/meshes/default/zones", 404, "Not Found"),
        ("GET", "/meshes/default/dataplanes/x", 404, "Could not retrieve a resource"),
        ("DELETE", "/zones/x", 404, "Could not delete a resource"),
        ("PUT", "/meshes/default/dataplane-insights/x", 405, "Method not allowed"),
        ("DELETE", "/mesh-insights/default", 405, "Method not allowed"),
        ("POST", "/meshes", 405, "Method not allowed"),
        ("GET", "/tokens/zone", 405, "Method not allowed"),
        ("PATCH", "/meshes/default", 405, "Method not allowed"),
    ],
)
async def test_errors_have_one_shape(rest, method, path, status, title):
    found, document = await rest(method, path, {} if method == "PUT" else None)
    assert (found, document["status"], document["title"]) == (status, status, title)
    assert document["type"] == "/std-errors"
    assert document["detail"]


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff", b"type: Mesh"])
async def test_broken_json(rest, body):
    status, document = await rest("PUT", "/meshes/a", body)
    assert (status, document["title"]) == (400, "Bad Request")
    assert "JSON" in document["detail"]


async def test_a_body_that_is_too_large(rest):
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * (MAX_BODY_BYTES // 10)

    for body in (io.BytesIO(b" " * (MAX_BODY_BYTES + 1)), chunks()):
        async with (
            aiohttp.ClientSession() as session,
            session.put(f"{rest.api.http_url}/meshes/a", data=body) as answer,
        ):
            assert answer.status == 413
            assert (await answer.json(content_type=None))["detail"] == "the body is larger than 10 MiB"
    assert (await rest("GET", "/meshes/a"))[0] == 404


async def test_head_answers_without_a_body(rest):
    async with (
        aiohttp.ClientSession() as session,
        session.head(f"{rest.api.http_url}/meshes/default") as answer,
    ):
        assert (answer.status, await answer.read()) == (200, b"")


async def test_overviews_join_the_insight(rest):
    await rest("PUT", "/meshes/default/dataplanes/web-1", dataplane("web-1"))
    subscription = {"id": "1", "connectTime": "2026-05-04T10:00:00Z"}
    mtls = {"issuedBackend": "ca-1", "supportedBackends": ["ca-1"]}
    spec = DataplaneInsight.model_validate({"subscriptions": [subscription], "mTLS": mtls})
    await rest.api.manager.put(Resource(ResourceKey("DataplaneInsight", "default", "web-1"), spec))
    _, overview = await rest("GET", "/meshes/default/dataplanes/web-1/_overview")
    assert overview["type"] == "DataplaneOverview"
    assert overview["dataplane"]["networking"]["address"] == "10.0.0.1"
    assert overview["dataplaneInsight"]["subscriptions"][0]["id"] == "1"
    for path in (
        "/meshes/default/dataplanes/_overview",
        "/meshes/default/dataplanes+insights",
        "/dataplanes/_overview",
    ):
        assert (await rest("GET", path))[1]["items"] == [overview]
    assert (await rest("GET", "/meshes/default/dataplanes+insights/web-1"))[1] == overview
    assert (await rest("GET", "/meshes/default/dataplanes/other/_overview"))[0] == 404

    _, service = await rest("GET", "/meshes/default/service-insights/web")
    assert (service["status"], service["issuedBackends"]) == ("online", {"ca-1": 1})
    assert service["dataplanes"] == {"online": 1, "offline": 0, "total": 1}
    for path in ("/meshes/default/service-insights", "/service-insights", "/service-insights?type=internal"):
        assert (await rest("GET", path))[1]["items"] == [service]
    assert (await rest("GET", "/service-insights?type=external"))[1]["items"] == []
    _, whole = await rest("GET", "/meshes/default/service-insights/all-services-default")
    assert whole["services"]["web"]["dataplanes"]["online"] == 1
    assert (await rest("GET", "/meshes/default/service-insights/other"))[0] == 404

    _, mesh = await rest("GET", "/mesh-insights/default")
    assert mesh["dataplanes"] == {"total": 1, "online": 1}
    assert mesh["policies"]["TrafficPermission"]["total"] == 1
    assert (await rest("GET", "/mesh-insights"))[1]["items"] == [mesh]
    assert (await rest("GET", "/mesh-insights/other"))[0] == 404


async def test_a_proxy_without_insight_is_offline(rest):
    await rest(
        "PUT",
        "/zoneegresses/e",
        {"type": "ZoneEgress", "name": "e", "networking": {"address": "10.0.0.1", "port": 10002}},
    )
    _, overview = await rest("GET", "/zoneegresses/e/_overview")
    assert overview["type"] == "ZoneEgressOverview"
    assert "zoneEgressInsight" not in overview
    assert (await rest("GET", "/zoneegressoverviews"))[1]["items"] == [overview]


async def test_the_index_the_configuration_and_the_user(rest):
    _, index = await rest("GET", "/")
    assert (index["product"], index["tagline"], index["instanceId"]) == ("Kuma", "Kuma", "instance-1")
    _, config = await rest("GET", "/config")
    assert config["store"]["type"] == "sqlite"
    _, me = await rest("GET", "/who-am-i")
    assert me == {"name": "mesh-system:admin", "groups": ["mesh-system:admin", "mesh-system:authenticated"]}


async def test_concurrent_writers_do_not_break_each_other(rest):
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(rest("PUT", "/meshes/default/dataplanes/d", dataplane("d", f"s{number}")))
            for number in range(20)
        ]
    statuses = sorted(task.result()[0] for task in tasks)
    assert statuses.count(201) == 1
    assert set(statuses) == {200, 201}


async def test_requests_are_counted_by_status_and_method(rest):
    await rest("GET", "/meshes")
    await rest("GET", "/nothing")
    await rest("PROPFIND", "/meshes")
    counted = rest.api.server.traffic.durations.by_labels
    assert {labels: each.count for labels, each in counted.items()} == {
        ("200", "GET"): 1,
        ("404", "GET"): 1,
        ("405", "other"): 1,
    }


async def test_a_port_in_use_names_the_variable(tmp_path):
    taken = listen("127.0.0.1", 0, port_variable="A", interface_variable="B")
    port = taken.getsockname()[1]
    with taken:
        for variable in ("KUMA_API_SERVER_HTTP_PORT", "KUMA_API_SERVER_HTTPS_PORT"):
            override = "api_http_port" if "HTTP_" in variable else "api_https_port"
            with pytest.raises(
                UserError, match=f"127.0.0.1:{port} is in use .* set {variable} to a free port"
            ):
                async with running_api(tmp_path, **{override: port}):
                    pass


async def test_an_interface_that_is_not_there_names_the_variable():
    with pytest.raises(UserError, match="check IFACE and PORT"):
        listen("192.0.2.1", 0, port_variable="PORT", interface_variable="IFACE")


async def test_after_stop_nothing_listens(tmp_path):
    async with running_api(tmp_path) as api:
        port = api.server.http_port
    listen("127.0.0.1", port, port_variable="A", interface_variable="B").close()
