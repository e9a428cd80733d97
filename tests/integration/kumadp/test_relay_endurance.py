"""The relay over many streams and many pushes: no file, task or memory stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import psutil
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from fake_cp import DELTA, UNLIMITED, FakeControlPlane, Stream
from kumadp.relay.server import Relay
from kumadp_bootstrap.rewrite import Upstream
from kumamesh.xds import CLUSTER

MIB = 1024 * 1024
HDS = "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck"


class Listener:
    def configured(self) -> None:
        pass

    def refused(self, reason: str) -> bool:
        return not reason


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[FakeControlPlane]:
    async with FakeControlPlane(tmp_path / "cp").running() as running:
        yield running


@pytest.fixture
async def channel(plane: FakeControlPlane, tmp_path: Path) -> AsyncIterator[Any]:
    relay = Relay(Upstream("localhost", plane.xds_port, sni="localhost", ca_pem=plane.ca_pem), str)
    path = tmp_path / "relay.sock"
    relay.bind(path)
    await relay.start(Listener())
    async with grpc.aio.insecure_channel(f"unix:{path}", UNLIMITED) as channel:
        yield channel
    await relay.stop()


def held() -> tuple[int, int, int]:
    """Open files, tasks, resident megabytes of this process: relay, client and control plane together. Ended
    calls of grpc.aio are in cycles: their connections last until the collector comes."""
    gc.collect()
    process = psutil.Process()
    return len(os.listdir("/proc/self/fd")), len(asyncio.all_tasks()), process.memory_info().rss // MIB


async def settled(files: int, tasks: int) -> tuple[int, int, int]:
    """What is held once no more than this is held, or at the latest after some seconds."""
    for _ in range(50):
        now = held()
        if now[0] <= files and now[1] <= tasks:
            break
        await asyncio.sleep(0.1)
    return held()


async def answer(stream: Stream) -> None:
    while (raw := await stream.read()) is not None:
        await stream.write(raw)


async def test_a_thousand_reconnects_leave_nothing_behind(plane: FakeControlPlane, channel: Any) -> None:
    plane.script = answer

    async def use(times: int) -> None:
        for _ in range(times):
            call = channel.stream_stream(DELTA)()
            await call.write(b"x" * 1_000)
            assert len(await call.read()) == 1_000
            call.cancel()
        await plane.until(lambda: all(stream.end for stream in plane.streams))
        plane.streams.clear()

    await use(100)
    files, tasks, memory = await settled(0, 0)
    await use(1_000)
    now = await settled(files, tasks)
    assert now[0] <= files
    assert now[1] <= tasks
    assert now[2] <= memory + 15


async def test_a_thousand_pushes_leave_nothing_behind(plane: FakeControlPlane, channel: Any) -> None:
    push = discovery_pb2.DeltaDiscoveryResponse(type_url=CLUSTER)
    push.resources.add(name="some").resource.value = os.urandom(300_000)

    async def pour(stream: Stream) -> None:
        number = 0
        while await stream.read() is not None:
            number += 1
            push.nonce = str(number)
            await stream.write(push.SerializeToString())

    plane.script = pour
    call = channel.stream_stream(DELTA)()

    async def take(times: int) -> None:
        ack = discovery_pb2.DeltaDiscoveryRequest(type_url=CLUSTER)
        for _ in range(times):
            await call.write(ack.SerializeToString())
            got = discovery_pb2.DeltaDiscoveryResponse.FromString(await call.read())
            ack.response_nonce = got.nonce
        plane.streams[0].requests.clear()

    await take(100)
    files, tasks, memory = held()
    await take(1_000)
    now = held()
    assert now[:2] == (files, tasks)
    assert now[2] <= memory + 15
    call.cancel()


async def test_a_control_plane_without_health_discovery_is_one_line(
    plane: FakeControlPlane, channel: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse_health(stream: Stream) -> None:
        if stream.method == HDS:
            await stream.context.abort(grpc.StatusCode.UNIMPLEMENTED, "unknown service")
        await answer(stream)

    caplog.set_level("INFO")
    plane.script = refuse_health
    configuration = channel.stream_stream(DELTA)()
    for _ in range(3):
        health = channel.stream_stream(HDS)()
        with pytest.raises(grpc.RpcError):
            await health.read()
        assert await health.code() is grpc.StatusCode.UNIMPLEMENTED
        await configuration.write(b"x")
        assert await configuration.read() == b"x"
    lines = [record.getMessage() for record in caplog.records if record.name == "kumadp.relay.server"]
    assert lines == [f"StreamHealthCheck to localhost:{plane.xds_port} ended: UNIMPLEMENTED: unknown service"]
    configuration.cancel()
