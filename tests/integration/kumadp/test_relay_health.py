"""Health discovery through the relay: last words, and refusals that are no end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy.service.health.v3.hds_pb2 import HealthCheckSpecifier
from google.protobuf.json_format import ParseDict

from fake_cp import DELTA, FakeControlPlane, Stream
from kumadp.relay.health import EVERY, farewell
from relay_bench import HDS, Bench, echo, relaying


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[FakeControlPlane]:
    async with FakeControlPlane(tmp_path / "cp").running() as running:
        yield running


@pytest.fixture
async def bench(plane: FakeControlPlane, tmp_path: Path) -> AsyncIterator[Bench]:
    async with relaying(plane, tmp_path) as found:
        yield found


def specifier(port: int) -> bytes:
    endpoint = {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": port}}}
    check = {"clusterName": "kuma:envoy:admin", "localityEndpoints": [{"endpoints": [endpoint]}]}
    return ParseDict({"clusterHealthChecks": [check]}, HealthCheckSpecifier()).SerializeToString()


async def test_leaving_says_first_that_envoy_is_not_healthy(plane: FakeControlPlane, bench: Bench) -> None:
    async def tell(stream: Stream) -> None:
        if stream.method == HDS:
            await stream.read()
            await stream.write(specifier(1))
            await stream.write(specifier(9901))
        await echo(stream)

    plane.script = tell
    configuration, health = bench.open(), bench.open(HDS)
    for call in (configuration, health):
        await call.write(b"node")
        await call.read()
    assert await health.read() == specifier(9901)
    await bench.relay.leave()
    requests = {stream.method: stream.requests for stream in plane.streams}
    assert requests == {DELTA: [b"node"], HDS: [b"node", farewell(specifier(9901))]}
    assert farewell(specifier(9901))
    assert [stream.end for stream in plane.streams] == ["half-closed", "half-closed"]


async def test_leaving_says_nothing_of_what_was_not_asked(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    call = bench.open(HDS)
    await call.write(b"node")
    assert await call.read() == b"node"
    await bench.relay.leave()
    assert [stream.requests for stream in plane.streams] == [[b"node"]]


async def test_a_proxy_without_health_discovery_goes_on(plane: FakeControlPlane, bench: Bench) -> None:
    async def refuse_health(stream: Stream) -> None:
        if stream.method == HDS:
            await stream.context.abort(grpc.StatusCode.UNAUTHENTICATED, "not you")
        await echo(stream)

    bench.listener.fatal = True
    plane.script = refuse_health
    health, configuration = bench.open(HDS), bench.open()
    with pytest.raises(grpc.aio.AioRpcError, match="not you"):
        await health.read()
    await configuration.write(b"x")
    assert await configuration.read() == b"x"
    assert bench.listener.refusals == []


async def test_of_equal_reports_one_in_so_many_passes(plane: FakeControlPlane, bench: Bench) -> None:
    async def listen(stream: Stream) -> None:
        while await stream.read() != b"sick":
            pass

    plane.script = listen
    call = bench.open(HDS)
    for report in (b"node", *[b"well"] * 2 * EVERY, b"sick"):
        await call.write(report)
    await plane.until(lambda: plane.streams and plane.streams[0].end)
    assert plane.streams[0].requests == [b"node", b"well", b"well", b"sick"]
    call.cancel()


async def test_a_report_passes_that_answers_what_is_asked(plane: FakeControlPlane, bench: Bench) -> None:
    async def ask_again(stream: Stream) -> None:
        while await stream.read() != b"well":
            pass
        await stream.write(specifier(9901))
        while await stream.read() != b"sick":
            pass

    plane.script = ask_again
    call = bench.open(HDS)
    for report in (b"node", b"well", b"well"):
        await call.write(report)
    assert await call.read() == specifier(9901)
    for report in (b"well", b"well", b"sick"):
        await call.write(report)
    await plane.until(lambda: plane.streams and plane.streams[0].end)
    assert plane.streams[0].requests == [b"node", b"well", b"well", b"sick"]
    call.cancel()
