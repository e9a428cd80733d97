"""Who is not let in by global, and what strangers can not do to those who are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from global_plane import GlobalPlane, global_plane
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.identity.server_cert_disk import ensure_server_certificate
from kumacp.kds.at_global import admission, zone_sync_driver
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.codec import encode_request
from kumamesh.delta import DeltaRequest
from kumamesh.jwt_peek import peek
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.secret import GlobalSecret, Secret
from scripted_zone import ScriptedZone, dataplane, scripted_zone

ALL = (
    streams.GLOBAL_TO_ZONE,
    streams.ZONE_TO_GLOBAL,
    streams.XDS_CONFIGS,
    streams.STATS,
    streams.CLUSTERS,
)
REVOCATIONS = ResourceKey("GlobalSecret", "", "zone-token-revocations")


@pytest.fixture
async def plane() -> AsyncIterator[GlobalPlane]:
    async with global_plane() as started:
        yield started


@pytest.fixture
async def guarded() -> AsyncIterator[GlobalPlane]:
    async with global_plane(kds_auth_type="cpToken") as started:
        yield started


async def _ping_refused(zone: ScriptedZone) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await zone.ping()
    return str(refused.value.code().name)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"client_id": ""}, 'the metadata key "client-id" is missing'),
        ({"client_id": "Zone 1"}, "'Zone 1' is no name for a zone"),
        ({"client_id": "x" * 64}, "is no name for a zone"),
        ({"client_id": "../etc"}, "is no name for a zone"),
        ({"client_id": ("zone-1", "zone-2")}, 'the metadata key "client-id" has 2 values'),
        ({"kds_version": "v1"}, "invalid KDS version v1. Supported versions v3"),
        ({"version": "9" * 2000}, 'the metadata key "version" has more than 1024 characters'),
    ],
)
async def test_streams_must_say_which_zone_opens_them(
    plane: GlobalPlane, method: str, metadata: dict[str, str], said: str
) -> None:
    async with scripted_zone(plane.port, **metadata) as zone:
        code, text = await zone.open(method).ended()
        assert code == "INVALID_ARGUMENT"
        assert said in text
    assert await plane.names("Zone") == set()


async def test_the_node_must_be_that_of_the_zone(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        asking = zone.asking()
        await asking.ask("Mesh", replace(zone.node, id="zone-2"))
        code, text = await asking.ended()
    assert code == "INVALID_ARGUMENT"
    assert text == 'the stream is one of zone "zone-1", and its node calls itself "zone-2"'
    assert await plane.names("Zone") == set()


async def test_a_zone_with_the_right_token_comes_in(guarded: GlobalPlane) -> None:
    now = time.time()
    for token_zone in ("zone-1", ""):
        token = await guarded.token(token_zone, "cp", now=now)
        async with scripted_zone(guarded.port, token=token) as zone:
            await zone.joined()
            assert await zone.ping() is not None
            insight = await guarded.until_insight(lambda seen: seen.online)
            assert insight.subscriptions[-1].auth_token_provided


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize(
    ("zone_claim", "scope", "age_s", "said"),
    [
        ("zone-2", ("cp",), 0, "zone from requestor: zone-1 is different than in token: zone-2"),
        ("zone-1", ("ingress", "egress"), 0, "cp is out of token's scope: [ingress egress]"),
        ("zone-1", ("cp",), 7_200, "expired"),
        (None, (), 0, "the request must carry one zone token with the scope cp"),
    ],
)
async def test_tokens_that_do_not_hold_are_refused_with_the_reason(
    guarded: GlobalPlane, method: str, zone_claim: str | None, scope: tuple[str, ...], age_s: int, said: str
) -> None:
    token = ""
    if zone_claim is not None:
        token = await guarded.token(zone_claim, *scope, now=time.time() - age_s)
    async with scripted_zone(guarded.port, token=token) as zone:
        code, text = await zone.open(method).ended()
        assert code == "UNAUTHENTICATED"
        assert said in text
        assert not token or token not in text
        assert await _ping_refused(zone) == "UNAUTHENTICATED"
    assert await guarded.names("Zone") == set()


async def test_a_forged_token_is_refused(guarded: GlobalPlane) -> None:
    token = await guarded.token("zone-1", "cp", now=time.time())
    async with scripted_zone(guarded.port, token=token[:-8] + "AAAAAAAA") as zone:
        assert (await zone.asking().ended())[0] == "UNAUTHENTICATED"
    async with scripted_zone(guarded.port, token="x.y.z") as zone:
        assert (await zone.asking().ended())[0] == "UNAUTHENTICATED"


async def test_a_token_that_is_revoked_ends_the_streams_that_it_opened(guarded: GlobalPlane) -> None:
    now = time.time()
    token, other_token = [await guarded.token(zone, "cp", now=now) for zone in ("zone-1", "zone-2")]
    async with (
        scripted_zone(guarded.port, token=token) as zone,
        scripted_zone(guarded.port, "zone-2", token=other_token) as other,
    ):
        asking, stats, beside = await zone.joined(), zone.open(streams.STATS), await other.joined()
        id_ = _token_id(token)
        await guarded.store.create(Resource(REVOCATIONS, GlobalSecret(data=id_.encode())))
        assert await asking.ended() == ("UNAUTHENTICATED", "authentication failed: token is revoked")
        assert (await stats.ended())[0] == "UNAUTHENTICATED"
        await beside.first_of("Secret", other.node)


async def test_a_token_that_expires_ends_its_stream(guarded: GlobalPlane) -> None:
    token = await guarded.token("zone-1", "cp", now=time.time(), valid_for_s=2.0)
    async with scripted_zone(guarded.port, token=token) as zone:
        asking = await zone.joined()
        code, text = await asking.ended()
    assert (code, "expired" in text) == ("UNAUTHENTICATED", True)


async def test_a_client_that_says_nothing_is_sent_away(
    plane: GlobalPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zone_sync_driver, "FIRST_REQUEST_S", 0.2)
    async with scripted_zone(plane.port) as zone:
        code, text = await zone.open(streams.GLOBAL_TO_ZONE).ended()
    assert (code, text) == ("DEADLINE_EXCEEDED", "the first request did not come within 0.2 s")
    assert await plane.names("Zone") == set()


@pytest.mark.parametrize(
    ("requests", "said"),
    [
        ([DeltaRequest("Mesh", subscribe=("*", "a.", "b."))], "only * is known here"),
        ([DeltaRequest("Mesh", subscribe=("*",)), DeltaRequest("Mesh", unsubscribe=("a.",))], "only * is"),
        ([DeltaRequest("x" * 101, subscribe=("*",))], "the name of a type has more than 100 characters"),
        ([DeltaRequest(f"t{n}", subscribe=("*",)) for n in range(101)], "more than 100 types of resources"),
    ],
)
async def test_what_no_zone_asks_for_ends_the_stream(
    plane: GlobalPlane, requests: list[DeltaRequest], said: str
) -> None:
    async with scripted_zone(plane.port) as zone:
        asking = zone.asking()
        for request in requests:
            await asking.write(encode_request(request, zone.node))
        code, text = await asking.ended()
        assert code == "INVALID_ARGUMENT"
        assert said in text
        await zone.joined()


async def test_one_zone_has_a_few_streams_of_a_kind(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port) as other:
        for _ in range(admission.MAX_STREAMS_PER_ZONE):
            await zone.telling().asked()
        code, text = await other.telling().ended()
        assert code == "RESOURCE_EXHAUSTED"
        assert text.startswith(
            f'zone "zone-1" has {admission.MAX_STREAMS_PER_ZONE} streams of this kind open'
        )
        await other.joined()


async def test_a_connection_that_opens_many_streams_has_to_wait_and_others_do_not(
    plane: GlobalPlane,
) -> None:
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        flood = [zone.open(method) for method in ALL for _ in range(100)]
        await other.joined()
        await other.telling().serve(Dataplane=[other.own(dataplane())])
        await plane.until_named("Dataplane", "web-1")
        assert sum(plane.server.zones.open_streams.values()) <= 16 + 2
        for stream in flood:
            stream.call.cancel()


async def test_there_are_only_so_many_zones(plane: GlobalPlane, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kumacp.kds.at_global.zones_driver.MAX_ZONES", 2)
    for name in ("zone-1", "zone-2"):
        async with scripted_zone(plane.port, name) as zone:
            await zone.joined()
    async with scripted_zone(plane.port, "zone-3") as zone:
        code, text = await zone.asking().ended()
        assert code == "RESOURCE_EXHAUSTED"
        assert "delete those that are no more" in text
    async with scripted_zone(plane.port, "zone-1") as zone:
        await zone.joined()


async def test_bytes_that_are_no_tls_disturb_nobody(tmp_path: Path) -> None:
    pair = ensure_server_certificate(tmp_path, None, None)
    files = CertificateFiles(pair.cert_path, pair.key_path)
    async with global_plane(certificate=files) as plane:
        writers = []
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"\0" * 70_000, b"", b"\0" * 9):
            _, writer = await asyncio.open_connection("127.0.0.1", plane.port)
            writer.write(garbage)
            writers.append(writer)
        async with scripted_zone(plane.port, ca=pair.cert_pem) as zone:
            await zone.joined()
        for writer in writers:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()


async def test_a_zone_that_takes_nothing_is_given_up_and_others_go_on(
    plane: GlobalPlane, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kumacp.kds.at_global.zone_stream_driver.SEND_TIMEOUT_S", 0.5)
    for number in range(24):
        key = ResourceKey("Secret", "default", f"large-{number}")
        await plane.store.create(Resource(key, Secret(data=bytes(2**20))))
    async with scripted_zone(plane.port) as zone, scripted_zone(plane.port, "zone-2") as other:
        stalled = zone.asking()
        await stalled.ask("Secret", zone.node)  # and never reads
        await plane.until_insight(lambda seen: seen.online)
        await plane.until_insight(lambda seen: not seen.online)
        await other.joined()


def _token_id(token: str) -> str:
    return str(peek(token).claims["jti"])


async def test_connections_are_counted_and_those_of_zones_outlive_a_flood(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("kumacp.kds.at_global.global_server.MAX_CONNECTIONS", 5)
    async with global_plane() as plane, scripted_zone(plane.port) as zone:
        asking = await zone.joined()
        async with contextlib.AsyncExitStack() as flood:
            closed = 0
            for _ in range(20):
                reader, writer = await asyncio.open_connection("127.0.0.1", plane.port)
                flood.callback(writer.close)
                with contextlib.suppress(ConnectionError):
                    closed += not await reader.read(1)
            assert closed == 16
            await asking.first_of("Secret", zone.node)
        async with scripted_zone(plane.port, "zone-2") as other:
            await other.joined()


async def test_a_zone_that_is_refused_again_and_again_makes_one_line(
    guarded: GlobalPlane, caplog: pytest.LogCaptureFixture
) -> None:
    async with scripted_zone(guarded.port) as zone, scripted_zone(guarded.port, "zone-2") as other:
        for method in (*ALL, *ALL):
            assert (await zone.open(method).ended())[0] == "UNAUTHENTICATED"
        assert await _ping_refused(zone) == "UNAUTHENTICATED"
        assert (await other.asking().ended())[0] == "UNAUTHENTICATED"
    told = [record for record in caplog.records if "a stream of a zone was ended" in record.getMessage()]
    assert [vars(record)["zone"] for record in told] == ["zone-1", "zone-2"]
    assert all(vars(record)["peer"].startswith("127.0.0.1:") for record in told)
    assert guarded.server.refused["missing"] == 12
