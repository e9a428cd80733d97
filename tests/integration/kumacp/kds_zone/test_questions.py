"""Questions of global to proxies of a zone, over real gRPC."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from joined_zone import joined_zone
from kumacp.envoyadmin import question
from kumacp.kds.protocol.streams import CLUSTERS, STATS, XDS_CONFIGS
from kumacp.kds.wire import kds_pb2
from kumacp.store.memory import MemoryStore
from permissions import dataplane
from scripted_global import Stream, scripted_global


async def store_with_proxy() -> MemoryStore:
    store = MemoryStore()
    await store.create(dataplane("web"))
    return store


def about(name: str = "web", id_: str = "1", **more: Any) -> dict[str, Any]:
    return {
        "request_id": id_,
        "resource_type": "Dataplane",
        "resource_mesh": "default",
        "resource_name": name,
        **more,
    }


async def answer(stream: Stream, kind: Any) -> Any:
    data = await stream.read()
    assert data is not None
    return kind.FromString(data)


@pytest.mark.parametrize(
    ("method", "request_", "kind", "field", "asked"),
    [
        (
            XDS_CONFIGS,
            kds_pb2.XDSConfigRequest(**about(include_eds=True)),
            kds_pb2.XDSConfigResponse,
            "config",
            question.config_dump(include_eds=True),
        ),
        (
            STATS,
            kds_pb2.StatsRequest(**about(used_only=True)),
            kds_pb2.StatsResponse,
            "stats",
            question.stats(used_only=True, as_json=False),
        ),
        (
            CLUSTERS,
            kds_pb2.ClustersRequest(**about(format=kds_pb2.JSON)),
            kds_pb2.ClustersResponse,
            "clusters",
            question.clusters(as_json=True),
        ),
    ],
    ids=["xds", "stats", "clusters"],
)
async def test_a_question_reaches_the_proxy_and_the_answer_global(
    method: str, request_: Any, kind: Any, field: str, asked: question.Question
) -> None:
    async with scripted_global() as world, joined_zone(world.port, store=await store_with_proxy()) as zone:
        zone.envoys.body = b"what Envoy said"
        stream = await world.opened(method)
        await stream.write(request_.SerializeToString())
        told = await answer(stream, kind)
    assert told.request_id == "1"
    assert getattr(told, field) == b"what Envoy said"
    assert zone.envoys.asked == [(dataplane("web").key, asked)]


async def test_problems_are_told_and_the_stream_goes_on() -> None:
    store = await store_with_proxy()
    async with (
        scripted_global() as world,
        joined_zone(world.port, store=store, zone_kds_max_message_bytes=20_000) as zone,
    ):
        stream = await world.opened(STATS)

        async def error(**request: Any) -> str:
            await stream.write(kds_pb2.StatsRequest(**request).SerializeToString())
            return str((await answer(stream, kds_pb2.StatsResponse)).error)

        assert "no Dataplane" in await error(**about("nobody"))
        assert "no type of proxy" in await error(**{**about(), "resource_type": "Secret"})
        zone.envoys.problem = "it is not connected"
        assert await error(**about()) == "it is not connected"
        zone.envoys.problem, zone.envoys.body = "", b"x" * 30_000
        assert "30000 bytes" in await error(**about())
        zone.envoys.body = b"fine"
        await stream.write(kds_pb2.StatsRequest(**about()).SerializeToString())
        assert (await answer(stream, kds_pb2.StatsResponse)).stats == b"fine"


async def test_a_slow_proxy_keeps_no_other_waiting() -> None:
    async with scripted_global() as world, joined_zone(world.port, store=await store_with_proxy()) as zone:
        stream = await world.opened(STATS)
        zone.envoys.gate = asyncio.Event()
        await stream.write(kds_pb2.StatsRequest(**about(id_="slow")).SerializeToString())
        await stream.write(kds_pb2.StatsRequest(**about("nobody", id_="quick")).SerializeToString())
        assert (await answer(stream, kds_pb2.StatsResponse)).request_id == "quick"
        zone.envoys.gate.set()
        assert (await answer(stream, kds_pb2.StatsResponse)).request_id == "slow"


async def test_what_is_no_question_ends_that_stream_alone() -> None:
    async with scripted_global() as world, joined_zone(world.port, store=await store_with_proxy()):
        clusters = await world.opened(CLUSTERS)
        stream = await world.opened(STATS)
        await stream.write(b"\xff\xff\xff")
        again = await world.opened(STATS)
        await again.write(kds_pb2.StatsRequest(**about()).SerializeToString())
        assert (await answer(again, kds_pb2.StatsResponse)).stats == b"{}"
        assert not clusters.over.is_set()
