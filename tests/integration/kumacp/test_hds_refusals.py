"""Who may not discover health, and clients that mean harm."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.service.health.v3.hds_pb2 import HealthCheckRequestOrEndpointHealthResponse

from ads_client import node_metadata
from dp_plane import Plane, dataplane, eventually, first_store, running
from hds_client import HdsClient, report
from kumacp.dpserver.hds_wire import MAX_REPORT_BYTES
from kumamesh.settings import Seconds

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED


async def refused(client: HdsClient) -> tuple[grpc.StatusCode, str]:
    async with client:
        return await client.ended()


async def test_without_a_token_nothing_is_said(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        # Whether there is such a Dataplane or not.
        for _ in range(2):
            status, text = await refused(HdsClient(plane.target))
            assert status is UNAUTHENTICATED
            assert "the request carries no token" in text
            await plane.put(dataplane())


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"name": "api-1"}, "is different than in token"),
        ({"name": "web-1", "mesh": "other"}, "is different than in token"),
        ({"tags": {"kuma.io/service": ("api",)}}, "is not allowed with this token"),
        ({"name": "web-1", "valid_for_s": -1.0}, "expired"),
    ],
)
async def test_tokens_of_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, claims: dict[str, Any], reason: str
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        status, text = await refused(HdsClient(plane.target, "default.web-1", await plane.token(**claims)))
    assert status is UNAUTHENTICATED
    assert reason in text
    assert plane.server.stats.hds_streams_active == 0
    (line,) = [record for record in caplog.records if record.getMessage() == f"refused: {text}"]
    assert line.__dict__["proxy"] == "default.web-1"


async def test_several_tokens(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        token = await plane.token("web-1")
        status, text = await refused(HdsClient(plane.target, "default.web-1", token, token))
    assert status is UNAUTHENTICATED
    assert "exactly 1" in text


async def test_a_control_plane_that_lets_everybody_in(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, dp_proxy_auth="none") as plane:
        await plane.put(dataplane())
        async with HdsClient(plane.target) as client:
            await client.told()


async def test_a_token_that_is_revoked_ends_the_stream(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        token = await plane.token("web-1", token_id="stolen")
        async with HdsClient(plane.target, "default.web-1", token) as client:
            await client.told()
            await plane.revoke("stolen")
            assert await client.ended() == (UNAUTHENTICATED, "authentication failed: token is revoked")


async def test_a_token_that_expires_ends_the_stream(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        token = await plane.token("web-1", valid_for_s=1.5)
        async with HdsClient(plane.target, "default.web-1", token) as client:
            await client.told()
            status, text = await client.ended()
    assert status is UNAUTHENTICATED
    assert "token is expired" in text


async def test_one_stream_for_each_proxy(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        token = await plane.token("web-1")
        async with HdsClient(plane.target, "default.web-1", token) as first:
            await first.told()
            status, text = await refused(HdsClient(plane.target, "default.web-1", token))
            assert status is grpc.StatusCode.ALREADY_EXISTS
            assert "already an active stream" in text
            await first.leave()
        async with HdsClient(plane.target, "default.web-1", token) as next_one:
            await next_one.told()


async def test_zone_proxies_have_no_inbounds(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        metadata = node_metadata(**{"dataplane.proxyType": "ingress"})
        client = HdsClient(plane.target, ".zi-1", await plane.zone_token(), metadata=metadata)
        status, text = await refused(client)
    assert status is grpc.StatusCode.INVALID_ARGUMENT
    assert "data plane proxies only" in text


def introduction(node_id: str) -> bytes:
    message = HealthCheckRequestOrEndpointHealthResponse()
    message.health_check_request.node.id = node_id
    return bytes(message.SerializeToString())


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        (introduction("default.api-1"), grpc.StatusCode.PERMISSION_DENIED),
        (bytes(MAX_REPORT_BYTES + 1), grpc.StatusCode.RESOURCE_EXHAUSTED),
        (report({9901: False}, entries=50_000), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
    ids=["no message", "another node", "too much", "too many"],
)
async def test_what_ends_the_stream_and_nothing_else(
    tmp_path: Path, data: bytes, status: grpc.StatusCode
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        await plane.put(dataplane("api-1", "api", port=8081))
        token, other = await plane.token("web-1"), await plane.token("api-1")
        async with (
            HdsClient(plane.target, "default.web-1", token) as client,
            HdsClient(plane.target, "default.api-1", other) as bystander,
        ):
            await client.told()
            await bystander.told()
            await client.send(data)
            assert (await client.ended())[0] is status
            assert await ready(plane, "web-1")
            await bystander.report(envoy=False)
            await bystander.leave()
            assert not await ready(plane, "api-1")


async def test_a_first_message_that_is_a_report(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        client = HdsClient(plane.target, "default.web-1", await plane.token("web-1"))
        await client.send(report({9901: True}))
        assert (await client.ended())[0] is grpc.StatusCode.INVALID_ARGUMENT
        await client.__aexit__(None, None, None)


async def test_thousands_of_entries_about_others_change_nothing(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, hds_refresh_interval=Seconds(0.0)) as plane:
        await plane.put(dataplane())
        async with HdsClient(plane.target, "default.web-1", await plane.token("web-1")) as client:
            await client.told()
            for _ in range(20):
                await client.send(report({}, entries=5_000))
                await client.send(report({9901: True}, entries=5_000))
            await client.leave()
            assert await ready(plane, "web-1")
            assert len(client.specifiers) == 1

        async def all_seen() -> bool:
            return plane.server.stats.hds_reports == 40

        await eventually(all_seen)
        assert plane.store.writes["update"] == 0


async def ready(plane: Plane, name: str) -> bool:
    stored = await plane.dataplane(name)
    assert stored is not None
    return all(inbound.healthy for inbound in stored.spec.networking.inbound)
