"""What one resource looks like, and what the API tells about itself (contract 9.1, 9.2; kuma-cp 8.2)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight
from kumamesh.resources.registry import TYPES
from running_api import RunningApi, running_api

SERVICE = {"kuma.io/service": "web"}
DATAPLANE = {
    "type": "Dataplane",
    "mesh": "default",
    "name": "web-1",
    "labels": {"team": "a", "kuma.io/mesh": "default"},
    "networking": {"address": "10.0.0.1", "inbound": [{"port": 8080, "tags": SERVICE}]},
}
POLICY = {
    "type": "MeshTrafficPermission",
    "mesh": "default",
    "name": "p",
    "labels": {"team": "a"},
    "spec": {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]},
}
ZONE = {"type": "Zone", "name": "east", "enabled": False}
SECRET = {"type": "Secret", "mesh": "default", "name": "s", "data": "YWJj"}
PATHS = {
    "/meshes/default/dataplanes/web-1": DATAPLANE,
    "/meshes/default/meshtrafficpermissions/p": POLICY,
    "/zones/east": ZONE,
    "/meshes/default/secrets/s": SECRET,
}


class Rest:
    """Requests to the server, answered as (status, document)."""

    def __init__(self, api: RunningApi, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session

    async def __call__(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, dict[str, Any]]:
        url = self.api.http_url + path
        async with self._session.request(method, url, json=body, headers=headers) as answer:
            self.headers = answer.headers
            return answer.status, json.loads(await answer.read() or "null")


@pytest.fixture
async def rest(tmp_path: Path) -> AsyncIterator[Rest]:
    async with running_api(tmp_path) as api, aiohttp.ClientSession() as session:
        yield Rest(api, session)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("form", ["kubernetes", "k8s"])
async def test_the_shape_of_kubernetes_can_be_sent_back(rest, path, form):
    assert (await rest("PUT", path, PATHS[path]))[0] == 201
    before = await rest.api.store.get(next(iter(await _stored(rest, path))))
    _, shown = await rest("GET", f"{path}?format={form}")
    assert (shown["apiVersion"], shown["kind"]) == ("kuma.io/v1alpha1", PATHS[path]["type"])
    assert shown["metadata"]["name"] == PATHS[path]["name"]
    assert "spec" in shown
    assert (await rest("PUT", path, shown))[0] == 200
    assert await rest.api.store.get(before.key) == before

    await rest.api.store.delete(before.key)
    assert (await rest("PUT", path, shown))[0] == 201
    again = await rest.api.store.get(before.key)
    assert (again.spec, again.labels) == (before.spec, before.labels)


async def _stored(rest: Rest, path: str) -> list[ResourceKey]:
    body = PATHS[path]
    return [ResourceKey(body["type"], body.get("mesh", ""), body["name"])]


async def test_kubernetes_knows_the_mesh_of_a_policy_by_a_label(rest):
    await rest("PUT", "/meshes/default/meshtrafficpermissions/p", POLICY)
    _, shown = await rest("GET", "/meshes/default/meshtrafficpermissions/p?format=k8s&namespace=team-a")
    assert "mesh" not in shown
    assert shown["metadata"]["labels"] == {"team": "a", "kuma.io/mesh": "default"}
    assert shown["metadata"]["namespace"] == "team-a"
    assert shown["metadata"]["creationTimestamp"].endswith("Z")
    _, shown = await rest("GET", "/meshes/default/traffic-permissions/allow-all-default?format=kubernetes")
    assert shown["mesh"] == "default"
    assert "namespace" not in shown["metadata"]


async def test_the_universal_shape_is_the_default(rest):
    for query in ("", "?format=universal"):
        _, shown = await rest("GET", f"/meshes/default{query}")
        assert shown["type"] == "Mesh"


async def test_another_shape_is_refused(rest):
    status, document = await rest("GET", "/meshes/default?format=helm")
    assert (status, document["title"]) == (400, "Could not format a resource")
    assert document["invalid_parameters"] == [
        {"field": "format", "reason": "must be one of: universal, kubernetes, k8s"}
    ]


async def test_identifiers_are_shown_and_lead_to_the_resource(rest):
    for path, body in PATHS.items():
        await rest("PUT", path, body)
    found = {}
    for path in PATHS:
        _, shown = await rest("GET", path)
        found[shown["type"]] = shown.get("kri")
    assert found == {
        "Dataplane": "kri_dp_default_default__web-1_",
        "MeshTrafficPermission": "kri_mtp_default___p_",
        "Zone": None,
        "Secret": None,
    }
    for list_path in ("/dataplanes", "/meshes/default/dataplanes/_overview"):
        _, listed = await rest("GET", list_path)
        assert [item["kri"] for item in listed["items"]] == [found["Dataplane"]]
    for kri in (found["Dataplane"], found["Dataplane"] + "8080"):
        status, shown = await rest("GET", f"/_kri/{kri}")
        assert (status, shown["name"]) == (200, "web-1")
        assert rest.headers["ETag"].startswith('"1-')
    _, shown = await rest("GET", f"/_kri/{found['MeshTrafficPermission']}?format=k8s")
    assert shown["kind"] == "MeshTrafficPermission"


@pytest.mark.parametrize(
    ("kri", "status", "told"),
    [
        ("kri_dp_default___nobody_", 404, "Not found"),
        ("kri_m_a___default_", 404, "Not found"),
        ("dataplane", 400, "an identifier has the form kri_"),
        ("kri_dp_default", 400, "an identifier has the form kri_"),
        ("kri_sec_default___s_", 400, '"sec" is not the short name of a type; known are dp, '),
    ],
)
async def test_identifiers_that_lead_nowhere(rest, kri, status, told):
    found, document = await rest("GET", f"/_kri/{kri}")
    assert found == status
    assert document["detail"].startswith(told)


async def test_the_policies_are_described(rest):
    _, document = await rest("GET", "/policies")
    by_name = {each["name"]: each for each in document["policies"]}
    assert list(by_name) == sorted(by_name)
    assert by_name["TrafficPermission"] == {
        "name": "TrafficPermission",
        "path": "traffic-permissions",
        "singularDisplayName": "Traffic Permission",
        "pluralDisplayName": "Traffic Permissions",
        "readOnly": False,
        "isExperimental": False,
        "isTargetRefBased": False,
        "isInbound": False,
        "isOutbound": False,
    }
    permission = by_name["MeshTrafficPermission"]
    assert (permission["isTargetRefBased"], permission["isInbound"]) == (True, True)
    assert not permission["isOutbound"]


async def test_the_types_are_described(rest):
    _, document = await rest("GET", "/_resources")
    by_name = {each["name"]: each for each in document["resources"]}
    assert list(by_name) == sorted(TYPES)
    mesh = by_name["Mesh"]
    assert (mesh["scope"], mesh["path"], mesh["shortName"]) == ("Global", "meshes", "m")
    assert mesh["pluralDisplayName"] == "Meshes"
    assert by_name["ZoneEgress"]["pluralDisplayName"] == "Zone Egresses"
    assert by_name["DataplaneInsight"]["readOnly"]
    assert {name: each["includeInFederation"] for name, each in by_name.items() if name in PATHS_TYPES} == {
        "Dataplane": False,
        "MeshTrafficPermission": True,
        "Zone": False,
        "Secret": True,
    }
    assert "policy" not in mesh
    assert by_name["MeshTrafficPermission"]["policy"] == {
        "isTargetRef": True,
        "hasToTargetRef": False,
        "hasFromTargetRef": True,
        "hasRulesTargetRef": True,
        "isFromAsRules": False,
    }


PATHS_TYPES = {body["type"] for body in PATHS.values()}


async def test_the_versions_that_may_connect(rest):
    _, document = await rest("GET", "/versions")
    assert list(document["kumaDp"]) == ["~2.11.0", "~2.12.0", "~2.13.0", "~2.14.0", "~2.15.0"]
    assert all(each["envoy"] for each in document["kumaDp"].values())


async def test_figures_over_all_meshes(rest):
    _, empty = await rest("GET", "/global-insight")
    assert empty["dataplanes"]["standard"] == {"total": 0, "online": 0, "offline": 0, "partiallyDegraded": 0}
    for path, body in PATHS.items():
        await rest("PUT", path, body)
    gateway = {"type": "DELEGATED", "tags": {"kuma.io/service": "edge"}}
    networking = {"address": "10.0.0.2", "gateway": gateway}
    await rest(
        "PUT", "/meshes/default/dataplanes/edge", DATAPLANE | {"name": "edge", "networking": networking}
    )
    outside = {"tags": {"kuma.io/service": "httpbin"}, "networking": {"address": "httpbin.example:443"}}
    assert (await rest("PUT", "/meshes/default/external-services/httpbin", outside))[0] == 201
    subscription = {"id": "1", "connectTime": "2026-05-04T10:00:00Z"}
    spec = DataplaneInsight.model_validate({"subscriptions": [subscription]})
    await rest.api.manager.put(Resource(ResourceKey("DataplaneInsight", "default", "web-1"), spec))

    _, figures = await rest("GET", "/global-insight")
    assert figures["meshes"] == {"total": 1}
    assert figures["dataplanes"]["standard"]["online"] == 1
    assert figures["dataplanes"]["gatewayDelegated"]["offline"] == 1
    assert figures["services"]["total"] == 3
    assert figures["services"]["external"] == {"total": 1}
    assert figures["services"]["internal"]["online"] == 1
    assert figures["services"]["gatewayDelegated"]["offline"] == 1
    assert figures["zones"]["controlPlanes"] == {"online": 0, "total": 1}
    assert figures["policies"] == {"total": 2}
    assert figures["resources"]["Dataplane"] == {"total": 2}
    assert figures["createdAt"].endswith("Z")

    _, numbers = await rest("GET", "/global-insights")
    assert numbers["type"] == "GlobalInsights"
    assert numbers["resources"]["Zone"] == {"total": 1}
    assert "Dataplane" not in numbers["resources"]
    assert "DataplaneInsight" not in numbers["resources"]


async def test_a_control_plane_of_one_zone_has_no_zones(rest):
    assert await rest("GET", "/status/zones") == (200, [])


async def test_the_document_of_the_api_is_served(rest):
    status, document = await rest("GET", "/openapi.json")
    assert (status, document["openapi"]) == (200, "3.1.0")
    assert "/meshes/{mesh}/dataplanes/{name}" in document["paths"]
