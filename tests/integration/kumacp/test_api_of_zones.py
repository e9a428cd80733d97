"""The REST API of a global control plane and of a zone that has one: who may write, tokens, zones."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from kumacp.api.authority import ON_GLOBAL, ON_ZONE
from kumacp.identity.signing_keys import KeyRing, TokenKind, public_key_name, signing_key_name
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config
from kumamesh.resources.insight import KdsSubscription, ServiceInsight, ServiceState, ZoneInsight
from kumamesh.resources.secret import GlobalSecret
from kumamesh.resources.zone import Zone, ZoneIngress
from kumamesh.tokens import public_pem
from running_api import RunningApi, running_api

GLOBAL = {"mode": "global"}
FEDERATED = {"zone_name": "zone-1", "zone_global_address": "grpcs://global.example:5685"}
MTP = "/meshes/default/meshtrafficpermissions/mtp"
PERMISSION = {
    "type": "MeshTrafficPermission",
    "mesh": "default",
    "name": "mtp",
    "spec": {
        "targetRef": {"kind": "Mesh"},
        "from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}],
    },
}
DATAPLANE = {
    "networking": {"address": "10.0.0.1", "inbound": [{"port": 80, "tags": {"kuma.io/service": "web"}}]}
}
INGRESS = {"networking": {"address": "10.0.0.1", "port": 10000}}
PROXIES = [
    ("/meshes/default/dataplanes/web-1", DATAPLANE),
    ("/zoneingresses/zi-1", INGRESS),
    ("/zoneegresses/ze-1", INGRESS),
]
OTHERS = [
    ("/meshes/default", {}),
    (MTP, PERMISSION),
    ("/meshes/default/traffic-permissions/allow-all-default", None),
    ("/meshes/default/secrets/s-1", {"data": "eA=="}),
    ("/meshes/default/external-services/es", {}),
    ("/global-secrets/zone-token-revocations", {"data": "eA=="}),
    ("/zones/zone-1", {"enabled": False}),
]


class Rest:
    """Requests, answered as (status, document or text)."""

    def __init__(self, api: RunningApi, session: aiohttp.ClientSession) -> None:
        self.api = api
        self._session = session

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        async with self._session.request(method, self.api.http_url + path, data=data) as answer:
            text = await answer.text()
            return answer.status, json.loads(text) if text.startswith(("{", "[")) else text


@asynccontextmanager
async def rest_of(work_dir: Path, **settings: Any) -> AsyncIterator[Rest]:
    async with running_api(work_dir, **settings) as api, aiohttp.ClientSession() as session:
        yield Rest(api, session)


def refusal(answer: tuple[int, Any]) -> tuple[int, str, str]:
    status, document = answer
    return status, document["title"], document["detail"]


async def test_a_federated_zone_takes_its_proxies_and_nothing_else(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **FEDERATED) as rest:
        for path, body in PROXIES:
            assert (await rest("PUT", path, body))[0] == 201
            assert (await rest("DELETE", path))[0] == 200
        for path, body in OTHERS:
            for method in ("PUT", "DELETE"):
                answer = await rest(method, path, body if method == "PUT" else None)
                assert refusal(answer) == (405, "Method not allowed", ON_ZONE), (method, path)
        assert (await rest("GET", MTP))[0] == 404
        assert (await rest("GET", "/meshes/default/traffic-permissions/allow-all-default"))[0] == 200


async def test_a_global_control_plane_takes_everything_but_proxies(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **GLOBAL) as rest:
        for path, body in PROXIES:
            for method in ("PUT", "DELETE"):
                answer = await rest(method, path, body if method == "PUT" else None)
                assert refusal(answer) == (405, "Method not allowed", ON_GLOBAL), (method, path)
        assert (await rest("PUT", MTP, PERMISSION))[0] == 201
        status, document = await rest("GET", MTP)
        assert (status, document["labels"]) == (
            200,
            {
                "kuma.io/display-name": "mtp",
                "kuma.io/mesh": "default",
                "kuma.io/origin": "global",
            },
        )
        assert (await rest("PUT", MTP, document))[0] == 200
        assert (await rest("DELETE", MTP))[0] == 200


@pytest.mark.parametrize("body", [{"enabled": False}, {"spec": {"enabled": False}}])
async def test_both_forms_of_a_zone_say_the_same(tmp_path: Path, body: dict[str, Any]) -> None:
    async with rest_of(tmp_path, **GLOBAL) as rest:
        assert await rest("PUT", "/zones/zone-1", {"type": "Zone", "name": "zone-1", **body}) == (201, {})
        assert (await rest("GET", "/zones/zone-1"))[1]["enabled"] is False
        wrong = {"type": "Zone", "name": "zone-1", "enable": False}
        status, document = await rest("PUT", "/zones/zone-1", wrong)
        assert (status, document["invalid_parameters"][0]["field"]) == (400, "enable")


async def test_what_came_from_elsewhere_is_read_but_not_written(tmp_path: Path) -> None:
    stranger = Resource(
        ResourceKey("ZoneIngress", "", "zi-2-abc"), ZoneIngress(zone="zone-2"), {"kuma.io/origin": "global"}
    )
    async with rest_of(tmp_path, **FEDERATED) as rest:
        await rest.api.store.create(stranger)
        assert (await rest("GET", "/zoneingresses/zi-2-abc"))[1]["zone"] == "zone-2"
        for method, body in (("PUT", INGRESS), ("DELETE", None)):
            answer = await rest(method, "/zoneingresses/zi-2-abc", body)
            assert refusal(answer) == (405, "Method not allowed", ON_ZONE)
        assert (await rest.api.store.get(stranger.key)).spec.zone == "zone-2"


async def test_policies_of_the_zone_where_they_are_asked_for(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **FEDERATED, disable_origin_label_validation=True) as rest:
        assert (await rest("PUT", MTP, PERMISSION))[0] == 201
        labels = (await rest("GET", MTP))[1]["labels"]
        assert (labels["kuma.io/origin"], labels["kuma.io/zone"]) == ("zone", "zone-1")
        assert refusal(await rest("PUT", "/meshes/default", {}))[0] == 405


async def test_a_connected_zone_is_not_deleted_and_one_that_is_gone_is(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **GLOBAL) as rest:
        store = rest.api.store
        zone = (await store.create(Resource(ResourceKey("Zone", "", "zone-1"), Zone(enabled=True)))).key
        start = datetime(2025, 1, 1, tzinfo=UTC)
        insight = await store.create(
            Resource(
                ResourceKey("ZoneInsight", "", "zone-1"),
                ZoneInsight(subscriptions=(KdsSubscription(connect_time=start),)),
            ),
            owner=zone,
        )
        status, document = await rest("DELETE", "/zones/zone-1")
        assert (status, document["title"]) == (400, "Could not delete a resource")
        assert document["invalid_parameters"] == [
            {
                "field": "zone",
                "reason": "unable to delete Zone, Zone CP is still connected, please shut it down first",
            }
        ]
        ended = KdsSubscription(connect_time=start, disconnect_time=start)
        await store.update(
            Resource(insight.key, ZoneInsight(subscriptions=(ended,)), version=insight.version)
        )
        assert await rest("DELETE", "/zones/zone-1") == (200, {})
        assert (await rest("GET", "/zone-insights"))[1]["items"] == []
        assert (await rest("DELETE", "/zones/zone-1"))[0] == 404


async def test_a_disabled_zone_counts_as_gone(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **GLOBAL) as rest:
        subscription = KdsSubscription(connect_time=datetime(2025, 1, 1, tzinfo=UTC))
        for name, enabled in (("zone-1", True), ("zone-2", False)):
            key = ResourceKey("Zone", "", name)
            await rest.api.store.create(Resource(key, Zone(enabled=enabled)))
            insight = ZoneInsight(subscriptions=(subscription,))
            await rest.api.store.create(Resource(ResourceKey("ZoneInsight", "", name), insight))
        assert await rest("GET", "/status/zones") == (
            200,
            [
                {"name": "zone-1", "url": "", "active": True},
                {"name": "zone-2", "url": "", "active": False},
            ],
        )
        figures = (await rest("GET", "/global-insight"))[1]
        assert figures["zones"]["controlPlanes"] == {"online": 1, "total": 2}
        overviews = (await rest("GET", "/zones/_overview"))[1]["items"]
        assert [item["zone"] for item in overviews] == [{"enabled": True}, {"enabled": False}]


@pytest.mark.parametrize(
    ("settings", "writable", "not_writable"),
    [
        (GLOBAL, {"Mesh", "Zone", "MeshTrafficPermission"}, {"Dataplane", "ZoneIngress", "ZoneInsight"}),
        (FEDERATED, {"Dataplane", "ZoneEgress", "GlobalSecret"}, {"Mesh", "Zone", "MeshTrafficPermission"}),
        ({}, {"Mesh", "Dataplane", "MeshTrafficPermission"}, {"DataplaneInsight"}),
    ],
)
async def test_what_can_be_written_is_told(
    tmp_path: Path, settings: dict[str, Any], writable: set[str], not_writable: set[str]
) -> None:
    async with rest_of(tmp_path, **settings) as rest:
        described = (await rest("GET", "/_resources"))[1]["resources"]
        policies = (await rest("GET", "/policies"))[1]["policies"]
    read_only = {item["name"]: item["readOnly"] for item in described}
    assert {name for name in writable | not_writable if not read_only[name]} == writable
    assert all(item["readOnly"] == read_only[item["name"]] for item in policies)


async def test_zone_tokens_of_global_hold_in_a_zone_that_has_its_public_key(tmp_path: Path) -> None:
    order = {"zone": "zone-1", "scope": ["ingress", "cp"], "validFor": "1h"}
    async with rest_of(tmp_path, **GLOBAL) as rest:
        status, token = await rest("POST", "/tokens/zone", order)
        assert status == 200
        private = (await rest.api.key_ring()).latest(TokenKind.ZONE)
    key = ResourceKey("GlobalSecret", "", public_key_name(int(private.kid)))
    public = Resource(key, GlobalSecret(data=public_pem(private.private_pem)))
    claims = KeyRing([public], federated=True).verify_zone(token, time.time())
    assert (claims.zone, claims.scope) == ("zone-1", ("ingress", "cp"))


async def test_a_federated_zone_makes_no_zone_tokens_but_those_of_its_data_planes(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **FEDERATED) as rest:
        assert await rest.api.store.get(ResourceKey("GlobalSecret", "", signing_key_name(TokenKind.ZONE, 1)))
        status, document = await rest("POST", "/tokens/zone", {"zone": "zone-1", "scope": ["ingress"]})
        assert (status, document["title"]) == (404, "Could not issue a token")
        assert "make them at the global control plane" in document["detail"]
        status, token = await rest("POST", "/tokens/dataplane", {"mesh": "default", "name": "web-1"})
        assert (status, token.count(".")) == (200, 2)


async def test_services_of_other_zones_are_known_from_global(tmp_path: Path) -> None:
    told = ServiceInsight(services={"theirs": ServiceState(status="online", zones=("zone-2",))})
    async with rest_of(tmp_path, **FEDERATED) as rest:
        await rest("PUT", *PROXIES[0])
        await rest.api.store.create(
            Resource(ResourceKey("ServiceInsight", "default", "all-services-default-abc"), told)
        )
        items = (await rest("GET", "/meshes/default/service-insights"))[1]["items"]
        assert [(item["name"], item["status"], item["zones"]) for item in items] == [
            ("theirs", "online", ["zone-2"]),
            ("web", "offline", ["zone-1"]),
        ]
        assert (await rest("GET", "/meshes/default/service-insights/theirs"))[1]["status"] == "online"


async def test_a_zone_bears_the_id_of_its_global(tmp_path: Path) -> None:
    async with rest_of(tmp_path, **FEDERATED) as rest:
        assert (await rest("GET", "/"))[1]["clusterId"] == "cluster-1"
        key = ResourceKey("Config", "", "kuma-cluster-id")
        await rest.api.store.create(Resource(key, Config(config="id-of-global")))
        assert (await rest("GET", "/"))[1]["clusterId"] == "id-of-global"
