"""The paths below a resource over a real server: what is asked, who may ask, why it cannot be."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from fake_admin import FakeAdmin, answer
from kumacp.dpserver.connection import Connection
from kumacp.envoyadmin.admin_client import AdminClient
from kumacp.envoyadmin.proxies_driver import ProxiesDriver
from kumacp.policy.permission import inbound_rbac
from kumacp.store.api import Change, Operation
from kumacp.xds.build import build
from kumacp.xds.hub import Hub
from kumacp.xds.model import ProxyMetadata
from kumamesh.resource import ResourceKey
from kumamesh.resources.rest import from_rest
from running_api import RunningApi, running_api

AWAY = {"X-Forwarded-For": "10.0.0.9"}
DUMP = {"configs": [{"@type": "x", "initial_metadata": [{"key": "authorization", "value": "the-token"}]}]}
PROXY = "/meshes/default/dataplanes/web-1"


class Site:
    """A server, a hub, and a fake admin that proxies in `connections` have."""

    def __init__(
        self, api: RunningApi, hub: Hub, admin: FakeAdmin, connections: dict[ResourceKey, Connection]
    ):
        self.api, self.hub, self.admin, self.connections = api, hub, admin, connections

    async def get(self, path: str, **headers: str) -> tuple[int, str, Any]:
        """(status, content type, body)"""
        async with (
            aiohttp.ClientSession() as session,
            session.get(self.api.http_url + path, headers=headers) as got,
        ):
            text = await got.text()
            return got.status, got.content_type, json.loads(text) if text.startswith(("{", "[")) else text

    async def problem(self, path: str, **headers: str) -> tuple[int, str, str]:
        status, content_type, body = await self.get(path, **headers)
        assert content_type == "application/problem+json"
        return status, body["title"], body["detail"]

    async def put(self, document: dict[str, Any]) -> ResourceKey:
        resource = (await self.api.manager.put(from_rest(document))).resource
        self.hub.apply([Change(Operation.UPDATE, resource.key, None, resource)])
        return resource.key

    async def proxy(
        self,
        name: str = "web-1",
        type_: str = "Dataplane",
        *,
        address: str = "127.0.0.1",
        port: int | None = None,
    ) -> None:
        """A proxy that is connected from this host."""
        inbound = {"port": 8080, "tags": {"kuma.io/service": "web"}}
        networking = (
            {"address": address, "inbound": [inbound]}
            if type_ == "Dataplane"
            else {"address": address, "port": 10001}
        )
        mesh = {"mesh": "default"} if type_ == "Dataplane" else {}
        key = await self.put({"type": type_, "name": name, **mesh, "networking": networking})
        metadata = ProxyMetadata(admin_port=self.admin.port if port is None else port)
        self.hub.connect(key, metadata)
        self.connections[key] = Connection(f"{key.mesh}.{name}", "127.0.0.1:4711", metadata)


async def _envoy(path: str, writer: Any) -> None:
    if path.startswith("/config_dump"):
        await answer(writer, json.dumps({**DUMP, "path": path}))
    elif path.startswith("/stats?usedonly=true&filter=bad"):
        await answer(writer, "Invalid re2 regex", "400 Bad Request")
    else:
        await answer(writer, path)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return getattr(request, "param", {})


@pytest.fixture
async def site(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Site]:
    connections: dict[ResourceKey, Connection] = {}
    hub = Hub("default", build, inbound_rbac)

    async def admin_ca() -> bytes:
        return b""

    driver = ProxiesDriver(hub, connections.get, AdminClient(admin_ca))
    async with FakeAdmin(_envoy) as admin, running_api(tmp_path, proxies=driver, **settings) as api:
        yield Site(api, hub, admin, connections)


@pytest.mark.parametrize(
    ("path", "content_type", "asked"),
    [
        ("stats", "text/plain", "/stats?usedonly=true"),
        ("stats?usedonly=false", "text/plain", "/stats"),
        ("stats?usedonly=0&format=text", "text/plain", "/stats"),
        ("stats?format=json&filter=^a", "application/json", "/stats?usedonly=true&filter=%5Ea&format=json"),
        ("clusters", "text/plain", "/clusters"),
        ("clusters?format=json", "application/json", "/clusters?format=json"),
    ],
)
async def test_envoy_is_asked_and_its_answer_passed_on(
    site: Site, path: str, content_type: str, asked: str
) -> None:
    await site.proxy()
    assert await site.get(f"{PROXY}/{path}") == (200, content_type, asked)


@pytest.mark.parametrize(
    ("query", "asked"),
    [
        ("", "/config_dump"),
        ("?include_eds=true", "/config_dump?include_eds=true"),
        ("?include_eds=false", "/config_dump"),
    ],
)
async def test_a_config_dump_comes_without_the_token(site: Site, query: str, asked: str) -> None:
    await site.proxy()
    status, content_type, dump = await site.get(f"{PROXY}/xds{query}")
    assert (status, content_type, dump["path"]) == (200, "application/json", asked)
    assert "the-token" not in json.dumps(dump)


@pytest.mark.parametrize(
    ("type_", "path"), [("ZoneIngress", "/zoneingresses/z"), ("ZoneEgress", "/zoneegresses/z")]
)
async def test_zone_proxies_can_be_asked_too(site: Site, type_: str, path: str) -> None:
    site.admin.node_id = ".z"
    await site.proxy("z", type_)
    assert await site.get(f"{path}/clusters") == (200, "text/plain", "/clusters")
    assert (await site.get(f"{path}/xds"))[0] == 200
    assert (await site.get(f"{path}/stats"))[2] == "/stats?usedonly=true"


@pytest.mark.parametrize(
    "query",
    [
        "xds?include_eds=maybe",
        "xds?mask=x",
        "stats?usedonly=2",
        "stats?format=xml",
        "stats?filter=bad",
        "stats?filter=" + "x" * 1025,
        "clusters?format=yaml",
        "_config?include=all",
        "_config?include=diff,",
        "_config?shadow=?",
    ],
)
async def test_what_is_wrong_with_a_question_is_said(site: Site, query: str) -> None:
    await site.proxy()
    status, title, detail = await site.problem(f"{PROXY}/{query}")
    assert (status, title) == (400, "Bad Request")
    assert len(detail) < 200


@pytest.mark.parametrize(
    "aspect", ["xds", "stats", "clusters", "_config", "policies", "rules", "_rules", "_layout"]
)
async def test_what_is_not_stored_is_not_found(site: Site, aspect: str) -> None:
    assert (await site.problem(f"{PROXY}/{aspect}"))[0] == 404
    assert (await site.problem(f"/meshes/none/dataplanes/web-1/{aspect}"))[:2] == (
        404,
        "Failed to retrieve Mesh",
    )


async def test_why_a_proxy_cannot_be_asked_is_said(site: Site) -> None:
    await site.proxy()
    site.connections.clear()
    status, title, detail = await site.problem(f"{PROXY}/stats")
    assert (status, title) == (503, "Service unavailable")
    assert detail.startswith('Dataplane "web-1": it is not connected to this control plane')
    await site.proxy(port=0)
    assert "has no admin port" in (await site.problem(f"{PROXY}/stats"))[2]
    await site.proxy()
    site.admin.node_id = "default.web-2"
    assert "not the Envoy of this proxy" in (await site.problem(f"{PROXY}/stats"))[2]
    assert set(site.admin.asked) == {"/server_info"}


async def test_a_proxy_of_another_host_is_not_looked_for_on_this_one(site: Site) -> None:
    await site.proxy()
    ((key, connection),) = site.connections.items()
    site.connections[key] = Connection(connection.node_id, "10.0.0.7:4711", connection.metadata)
    assert (await site.problem(f"{PROXY}/stats"))[0] == 503
    assert site.admin.asked == []


@pytest.mark.parametrize(
    ("settings", "closed"),
    [
        ({"view_config_dump_groups": ()}, {"xds", "_config"}),
        ({"view_stats_groups": ()}, {"stats"}),
        ({"view_clusters_groups": ()}, {"clusters"}),
        ({"view_stats_groups": ("mesh-system:authenticated",)}, {"stats"}),
    ],
    indirect=["settings"],
)
async def test_only_those_with_the_right_may_look(site: Site, closed: set[str]) -> None:
    await site.proxy()
    for aspect in ("xds", "_config", "stats", "clusters", "policies"):
        status = (await site.get(f"{PROXY}/{aspect}", **AWAY))[0]
        assert status == (403 if aspect in closed else 200), aspect
    for aspect in closed:
        # Not even whether there is such a proxy.
        assert (await site.problem(f"/meshes/none/dataplanes/web-9/{aspect}", **AWAY))[:2] == (
            403,
            "Access Denied",
        )


async def test_the_configuration_is_shown_without_asking_envoy(site: Site) -> None:
    await site.proxy()
    status, content_type, body = await site.get(f"{PROXY}/_config?shadow=true&include=diff")
    assert (status, content_type, body["diff"]) == (200, "application/json", [])
    listeners = body["xds"]["type.googleapis.com/envoy.config.listener.v3.Listener"]
    assert list(listeners) == ["inbound:127.0.0.1:8080"]
    assert "diff" not in (await site.get(f"{PROXY}/_config"))[2]
    assert site.admin.asked == []
    site.hub.apply([Change(Operation.DELETE, ResourceKey("Dataplane", "default", "web-1"), None, None)])
    assert (await site.problem(f"{PROXY}/_config"))[0] == 503


async def test_shadow_policies_are_applied_only_where_they_are_asked_for(site: Site) -> None:
    backend = {"name": "ca-1", "type": "builtin"}
    await site.put(
        {"type": "Mesh", "name": "default", "mtls": {"enabledBackend": "ca-1", "backends": [backend]}}
    )
    await site.proxy()
    allow = {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]}
    labels = {"kuma.io/effect": "shadow"}
    policy = {
        "type": "MeshTrafficPermission",
        "mesh": "default",
        "name": "p",
        "labels": labels,
        "spec": allow,
    }
    await site.put(policy)
    present = (await site.get(f"{PROXY}/_config?include=diff"))[2]
    wanted = (await site.get(f"{PROXY}/_config?include=diff&shadow=true"))[2]
    assert present["diff"] == []
    assert wanted["diff"]
    assert wanted["xds"] != present["xds"]


async def test_policies_are_shown_from_both_sides(site: Site) -> None:
    await site.proxy()
    await site.proxy("web-2")
    policy = "/meshes/default/traffic-permissions/allow-all-default"
    (item,) = (await site.get(f"{PROXY}/policies"))[2]["items"]
    assert [found["name"] for found in item["matchedPolicies"]["TrafficPermission"]] == ["allow-all-default"]
    affected = (await site.get(f"{policy}/dataplanes"))[2]
    assert [one["dataplane"]["name"] for one in affected["items"]] == ["web-1", "web-2"]
    for path in ("_resources", "-resources"):
        selected = (await site.get(f"{policy}/{path}/dataplanes"))[2]
        assert [(one["type"], one["name"]) for one in selected["items"]] == [
            ("Dataplane", "web-1"),
            ("Dataplane", "web-2"),
        ]
    one = (await site.get(f"{policy}/_resources/dataplanes?size=1"))[2]
    assert (one["total"], len(one["items"])) == (2, 1)
    assert one["next"].endswith(f"{policy}/_resources/dataplanes?offset=1&size=1")
    for path in ("dataplanes?size=1&offset=1", "dataplanes?name=web-2", "_resources/dataplanes?name=web-2"):
        assert len((await site.get(f"{policy}/{path}"))[2]["items"]) == 1


async def test_a_policy_without_matches_gives_an_empty_list(site: Site) -> None:
    await site.proxy()
    spec = {"targetRef": {"kind": "MeshSubset", "tags": {"v": "9"}}, "from": [
        {"targetRef": {"kind": "Mesh"}, "default": {"action": "Deny"}}
    ]}  # fmt: skip
    await site.put({"type": "MeshTrafficPermission", "mesh": "default", "name": "p", "spec": spec})
    policy = "/meshes/default/meshtrafficpermissions/p"
    assert (await site.get(f"{policy}/dataplanes"))[2] == {"total": 0, "items": []}
    assert (await site.get(f"{policy}/_resources/dataplanes"))[2] == {"total": 0, "items": [], "next": None}
    assert (await site.problem("/meshes/default/meshtrafficpermissions/q/dataplanes"))[0] == 404


async def test_rules_layout_and_policies_by_identifier(site: Site) -> None:
    await site.proxy()
    spec = {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]}
    await site.put({"type": "MeshTrafficPermission", "mesh": "default", "name": "p", "spec": spec})
    rules = (await site.get(f"{PROXY}/_rules"))[2]
    assert [rule["type"] for rule in rules["rules"]] == ["MeshTrafficPermission"]
    assert len(rules["rules"][0]["warnings"]) == 1
    assert (await site.get(f"{PROXY}/rules"))[2]["total"] == 1
    assert (await site.get(f"{PROXY}/_policies"))[2] == {"policies": []}
    (inbound,) = (await site.get(f"{PROXY}/_layout"))[2]["inbounds"]
    found = (await site.get(f"{PROXY}/_inbounds/{inbound['kri']}/_policies"))[2]
    assert [policy["kind"] for policy in found["policies"]] == ["MeshTrafficPermission"]
    outbound = "kri_msvc_default_default__x_80"
    assert (await site.get(f"{PROXY}/_outbounds/{outbound}/_policies"))[2] == {"policies": []}
    other = inbound["kri"].replace("8080", "9090")
    assert (await site.problem(f"{PROXY}/_inbounds/{other}/_policies"))[0] == 404
    assert "Invalid inbound KRI" in (await site.problem(f"{PROXY}/_inbounds/x/_policies"))[2]
    assert "Invalid outbound KRI" in (await site.problem(f"{PROXY}/_outbounds/x/_policies"))[2]


async def test_a_control_plane_without_proxies_says_so(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        site = Site(api, Hub("default", build, inbound_rbac), None, {})  # type: ignore[arg-type]
        document = {"type": "ZoneEgress", "name": "e", "networking": {"address": "10.0.0.1", "port": 10002}}
        await site.put(document)
        status, _, detail = await site.problem("/zoneegresses/e/stats")
        assert (status, "serves no proxies" in detail) == (503, True)
