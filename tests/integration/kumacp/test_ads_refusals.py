"""Who is refused at the data-plane server, with which status and reason; nothing of them is registered."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import grpc
import pytest

from ads_client import node_metadata
from dp_plane import Plane, dataplane, first_store, running
from kumacp.dpserver.lifecycle import SECOND_STREAM
from kumacp.identity.signing_keys import KeyRing, TokenKind
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret
from kumamesh.tokens import DataplaneClaims, SigningKey, generate_signing_key, issue
from kumamesh.xds import CLUSTER

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
Tokens = Callable[[Plane], Awaitable[Sequence[str]]]


async def _signed(plane: Plane, *, key: bytes = b"", kid: str = "", now: float = 0.0) -> Sequence[str]:
    own = KeyRing(await plane.store.list("Secret")).latest(TokenKind.DATAPLANE, "default")
    signing_key = SigningKey(kid or own.kid, key or own.private_pem)
    claims = DataplaneClaims(name="web-1", mesh="default")
    return [issue(claims, signing_key, now=now or time.time(), valid_for_s=3600.0)]


async def _revoked(plane: Plane) -> Sequence[str]:
    await plane.revoke("lost, stolen")
    return [await plane.token("web-1", token_id="stolen")]


async def _globally_revoked(plane: Plane) -> Sequence[str]:
    key = ResourceKey("GlobalSecret", "", "dataplane-token-revocations-default")
    await plane.manager.put(Resource(key, GlobalSecret(data=b"stolen")))
    return [await plane.token("web-1", token_id="stolen")]


def _token(name: str = "web-1", mesh: str = "default", **more: Any) -> Tokens:
    async def make(plane: Plane) -> Sequence[str]:
        return [await plane.token(name, mesh, **more)]

    return make


def _zone_token(**claims: Any) -> Tokens:
    async def make(plane: Plane) -> Sequence[str]:
        return [await plane.zone_token(**claims)]

    return make


async def _none(_: Plane) -> Sequence[str]:
    return []


async def _two(plane: Plane) -> Sequence[str]:
    return [await plane.token("web-1"), await plane.token("web-1")]


async def _garbage(_: Plane) -> Sequence[str]:
    return ["not a token"]


CASES: dict[str, tuple[Tokens, str, str]] = {
    "no token": (_none, "carries no token", "missing"),
    "two tokens": (_two, 'exactly 1 "authorization" header, got 2', "malformed"),
    "garbage": (_garbage, "could not parse token", "malformed"),
    "wrong key": (
        lambda plane: _signed(plane, key=generate_signing_key()),
        "could not parse token: its signature does not match",
        "malformed",
    ),
    "unknown kid": (lambda plane: _signed(plane, kid="7"), "there is no signing key with KID 7", "malformed"),
    "expired": (_token(valid_for_s=-10.0), "token is expired", "expired"),
    "not yet valid": (
        lambda plane: _signed(plane, now=time.time() + 3600),
        "token is not yet valid",
        "malformed",
    ),
    "revoked": (_revoked, "token is revoked", "revoked"),
    "revoked globally": (_globally_revoked, "token is revoked", "revoked"),
    "wrong name": (
        _token("web-2"),
        "proxy name from requestor: web-1 is different than in token: web-2",
        "denied",
    ),
    "wrong mesh": (
        _token(mesh="other"),
        "proxy mesh from requestor: default is different than in token: other",
        "denied",
    ),
    "wrong tag": (
        _token(tags={"kuma.io/service": ("backend",)}),
        'contains tag "kuma.io/service" with value "web" which is not allowed',
        "denied",
    ),
    "missing tag": (_token(tags={"team": ("a",)}), 'no tag "team" required by the token', "denied"),
    "wrong workload": (_token(workload="w"), "kuma.io/workload", "denied"),
    "zone token": (_zone_token(scope=("ingress",)), "could not parse token", "malformed"),
}


@pytest.mark.parametrize("case", CASES)
async def test_a_wrong_token_is_refused_and_nothing_is_registered(case: str, tmp_path: Path) -> None:
    make, reason, fault = CASES[case]
    async with running(await first_store(), tmp_path) as plane:
        async with plane.client(dataplane(), *await make(plane)) as client:
            await client.ask()
            status, text = await client.ended()
        assert (status, text.startswith("authentication failed: ")) == (UNAUTHENTICATED, True)
        assert reason in text
        assert not client.responses
        assert await plane.dataplane() is None
        assert await plane.insight() is None
        assert plane.server.stats.tokens_refused == {fault: 1}
        assert plane.server.stats.streams_active == 0


INGRESS = {
    "type": "ZoneIngress",
    "name": "in-1",
    "networking": {"address": "192.168.0.7", "port": 10001},
}


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (_zone_token(scope=("egress",)), "ingress is out of token's scope: [egress]"),
        (_zone_token(scope=("ingress",), zone="north"), "zone from requestor: default is different than in"),
        (_token(), "could not parse token"),
    ],
    ids=["wrong scope", "wrong zone", "dataplane token"],
)
async def test_a_wrong_token_of_a_zone_proxy_is_refused(make: Tokens, reason: str, tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        metadata = node_metadata(INGRESS, **{"dataplane.proxyType": "ingress"})
        client = plane.client(INGRESS, *await make(plane), node_id=".in-1", metadata=metadata)
        async with client:
            await client.ask()
            status, text = await client.ended()
        assert status is UNAUTHENTICATED
        assert reason in text
        assert await plane.store.list("ZoneIngress") == []


async def test_a_zone_proxy_with_its_token_is_registered(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        metadata = node_metadata(INGRESS, **{"dataplane.proxyType": "ingress"})
        token = await plane.zone_token(scope=("ingress",), zone="default")
        async with plane.client(INGRESS, token, node_id=".in-1", metadata=metadata) as client:
            await client.ask()
            await client.until(lambda: client.responses)
            assert [item.spec.zone for item in await plane.store.list("ZoneIngress")] == ["default"]


BAD_NODES: dict[str, tuple[str, dict[str, Any], grpc.StatusCode, str]] = {
    "no name": ("default.", {}, grpc.StatusCode.INVALID_ARGUMENT, "valid Proxy ID"),
    "no mesh": (".web-1", {}, grpc.StatusCode.INVALID_ARGUMENT, "valid Proxy ID"),
    "unknown type": (
        "default.web-1",
        {"dataplane.proxyType": "pigeon"},
        grpc.StatusCode.INVALID_ARGUMENT,
        'unsupported proxy type "pigeon"',
    ),
    "other resource": (
        "default.web-1",
        node_metadata(dataplane("web-2")),
        grpc.StatusCode.INVALID_ARGUMENT,
        "proxyId default.web-1 does not match proxy resource default.web-2",
    ),
    "invalid resource": (
        "default.web-1",
        node_metadata({**dataplane(), "networking": {"address": "127.0.0.1", "inbund": []}}),
        grpc.StatusCode.INVALID_ARGUMENT,
        "inbund",
    ),
    "no resource": ("default.web-1", {}, grpc.StatusCode.NOT_FOUND, 'resource "default.web-1" not found'),
    "unreadable resource": (
        "default.web-1",
        {"dataplane.resource": "{"},
        grpc.StatusCode.NOT_FOUND,
        "create a Dataplane in Kuma CP first",
    ),
}


@pytest.mark.parametrize("case", BAD_NODES)
async def test_a_node_that_cannot_be_used_is_refused(case: str, tmp_path: Path) -> None:
    node_id, metadata, expected, reason = BAD_NODES[case]
    async with running(await first_store(), tmp_path) as plane:
        token = await plane.token()
        async with plane.client(None, token, node_id=node_id, metadata=metadata) as client:
            await client.ask()
            status, text = await client.ended()
        assert (status, reason in text) == (expected, True), text
        assert await plane.store.list("Dataplane") == []


async def test_a_mesh_that_does_not_exist_is_named(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, dp_proxy_auth="none") as plane:
        async with plane.client(dataplane(mesh="nowhere")) as client:
            await client.ask()
            status, text = await client.ended()
        assert (status, 'mesh "nowhere" does not exist' in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)


async def test_without_authentication_no_token_is_needed(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path, dp_proxy_auth="none") as plane,
        plane.client(dataplane()) as client,
    ):
        await client.ask_all()
        assert await plane.dataplane() is not None


async def test_another_proxys_resource_cannot_be_overridden(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane(service="backend"))
        token = await plane.token("", tags={"kuma.io/service": ("web",)})
        async with plane.client(dataplane(service="web"), token) as client:
            await client.ask()
            status, text = await client.ended()
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert "you are trying to override existing proxy to which you don't have an access" in text
        stored = await plane.dataplane()
        assert stored is not None
        assert stored.spec.services() == ("backend",)


async def test_a_second_stream_of_a_proxy_is_refused_and_the_first_lives_on(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as first,
        plane.client(dataplane(), await plane.token("web-1")) as second,
    ):
        await second.ask()
        assert await second.ended() == (grpc.StatusCode.ALREADY_EXISTS, SECOND_STREAM)
        await plane.put(dataplane(port=8081))
        await first.until(lambda: "localhost:8081" in first.held[CLUSTER])


async def test_the_node_id_cannot_change_on_a_stream(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await client.ask(CLUSTER, node_id="default.web-2")
        status, text = await client.ended()
        assert status is grpc.StatusCode.PERMISSION_DENIED
        assert "stream was authenticated for ID default.web-1. Received request is for node with ID" in text


async def test_state_of_the_world_is_refused_with_a_remedy(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        plane.client(dataplane(), method="StreamAggregatedResources") as client,
    ):
        status, text = await client.ended()
        assert (status, "DELTA_GRPC" in text) == (grpc.StatusCode.UNIMPLEMENTED, True)
