"""Envoys of all zones are asked through their zones' control planes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from global_plane import GlobalPlane, global_plane
from kumacp.envoyadmin import question
from kumacp.envoyadmin.question import ProxyUnavailable, Question, QuestionRefused, Reply
from kumacp.kds.at_global.global_server import Patience
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.admin_codec import Answered, Asked, decode_question, encode_answer
from kumamesh.resource import Resource, ResourceKey
from scripted_zone import ScriptedZone, Stream, dataplane, scripted_zone

DUMP = b'{"configs": [{"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump"}]}'
QUESTIONS = {
    streams.XDS_CONFIGS: question.config_dump(include_eds=True),
    streams.STATS: question.stats(used_only=True, as_json=False),
    streams.CLUSTERS: question.clusters(as_json=True),
}


@pytest.fixture
async def plane() -> AsyncIterator[GlobalPlane]:
    async with global_plane(patience=Patience(answer_s=1.0)) as started:
        yield started


async def _proxy(plane: GlobalPlane, zone: ScriptedZone) -> Resource:
    """A stored Dataplane of the zone, whose streams for questions are open."""
    await zone.telling().serve(Dataplane=[zone.own(dataplane())])
    (proxy,) = await plane.until_named("Dataplane", "web-1")
    return proxy


async def _open(plane: GlobalPlane, zone: ScriptedZone, method: str) -> Stream:
    await zone.joined()
    stream = zone.open(method)
    kind = {streams.XDS_CONFIGS: "config_dump", streams.STATS: "stats", streams.CLUSTERS: "clusters"}[method]
    await plane.until_insight(lambda seen: bool(seen.kds_streams and getattr(seen.kds_streams, kind)))
    return stream


@pytest.mark.parametrize("method", QUESTIONS)
async def test_a_question_goes_to_the_zone_under_the_proxys_name_there(
    plane: GlobalPlane, method: str
) -> None:
    async with scripted_zone(plane.port) as zone:
        proxy, stream = await _proxy(plane, zone), await _open(plane, zone, method)
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(plane.server.proxies.ask(proxy, QUESTIONS[method]))
            asked = decode_question(method, await stream.read())
            await stream.write(encode_answer(method, Answered("somebody-else", DUMP)))
            await stream.write(encode_answer(method, Answered(asked.id, DUMP)))
    assert asked == Asked(asked.id, ResourceKey("Dataplane", "default", "web-1"), QUESTIONS[method])
    assert asking.result().content_type == QUESTIONS[method].content_type
    assert b"BootstrapConfigDump" in asking.result().body


async def test_secrets_in_a_dump_are_taken_out_whatever_the_zone_sent(plane: GlobalPlane) -> None:
    secret = {"tls_certificate": {"private_key": {"inline_string": "KEY"}}}
    dump = json.dumps({"configs": [{"dynamic_active_secrets": [{"secret": secret}]}]}).encode()
    async with scripted_zone(plane.port) as zone:
        reply = await _answered(plane, zone, Answered("", dump))
    assert b"KEY" not in reply.body


async def test_what_a_zone_cannot_answer_is_told_in_one_line(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        with pytest.raises(ProxyUnavailable, match=r"^it is not connected to this control plane$"):
            await _answered(plane, zone, Answered("", error="it is not connected\nto this control plane"))


async def test_a_zone_that_does_not_answer_is_not_waited_for_long(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        proxy = await _proxy(plane, zone)
        await _open(plane, zone, streams.STATS)
        with pytest.raises(ProxyUnavailable, match='of zone "zone-1" did not answer within 1 s'):
            await plane.server.proxies.ask(proxy, QUESTIONS[streams.STATS])


async def test_a_zone_that_goes_away_meanwhile_is_said_to(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        proxy, stream = await _proxy(plane, zone), await _open(plane, zone, streams.STATS)

        async def leave() -> None:
            await stream.read()
            stream.call.cancel()

        async with asyncio.TaskGroup() as group:
            group.create_task(leave())
            with pytest.raises(ProxyUnavailable, match="was disconnected before it answered"):
                await plane.server.proxies.ask(proxy, QUESTIONS[streams.STATS])


async def test_a_proxy_whose_zone_is_not_connected_cannot_be_asked(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        proxy = await _proxy(plane, zone)
        with pytest.raises(ProxyUnavailable, match='its zone "zone-1" is not connected'):
            await plane.server.proxies.ask(proxy, QUESTIONS[streams.STATS])
        with pytest.raises(ProxyUnavailable, match="only the control plane of its zone knows"):
            plane.server.proxies.configuration(proxy.key)


async def test_a_filter_that_the_wire_does_not_carry_is_refused(plane: GlobalPlane) -> None:
    async with scripted_zone(plane.port) as zone:
        proxy = await _proxy(plane, zone)
        filtered = question.stats(used_only=True, as_json=False, filter_="http")
        with pytest.raises(QuestionRefused):
            await plane.server.proxies.ask(proxy, filtered)


async def _answered(plane: GlobalPlane, zone: ScriptedZone, answer: Answered) -> Reply:
    method = streams.XDS_CONFIGS
    wanted: Question = QUESTIONS[method]
    proxy, stream = await _proxy(plane, zone), await _open(plane, zone, method)

    async def reply() -> None:
        asked = decode_question(method, await stream.read())
        await stream.write(encode_answer(method, Answered(asked.id, answer.body, answer.error)))

    replying = asyncio.get_running_loop().create_task(reply())
    try:
        return await plane.server.proxies.ask(proxy, wanted)
    finally:
        await replying
