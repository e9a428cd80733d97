"""The relay between a client in Envoy's place and a control plane: bytes, order, ends, tokens, memory."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import grpc
import grpc.aio
import pytest
from envoy.service.discovery.v3 import discovery_pb2

from fake_cp import DELTA, FakeControlPlane, Stream
from kumadp.relay.server import Relay
from kumadp.relay.upstream_client import write
from kumadp_bootstrap.rewrite import Upstream
from kumamesh.errors import UserError
from kumamesh.xds import CLUSTER, LISTENER
from relay_bench import HDS, Bench, echo, relaying

MIB = 1024 * 1024


@pytest.fixture
async def plane(tmp_path: Path) -> AsyncIterator[FakeControlPlane]:
    async with FakeControlPlane(tmp_path / "cp").running() as running:
        yield running


@pytest.fixture
async def bench(plane: FakeControlPlane, tmp_path: Path) -> AsyncIterator[Bench]:
    async with relaying(plane, tmp_path) as found:
        yield found


async def test_bytes_pass_in_order_both_ways(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    call = bench.open()
    sent = [f"message {number}".encode() for number in range(2_000)]

    async def send() -> None:
        for raw in sent:
            await call.write(raw)

    async with asyncio.TaskGroup() as group:
        group.create_task(send())
        assert [await call.read() for _ in sent] == sent
    call.cancel()


async def test_a_flood_of_requests_to_a_deaf_control_plane_blocks_nobody(
    plane: FakeControlPlane, bench: Bench
) -> None:
    """Neither side reads until both have sent a lot: with a bound on the number of requests this hangs."""
    listen = asyncio.Event()

    async def deaf(stream: Stream) -> None:
        for number in range(200):
            await stream.write(b"%d" % number * 1_000)
        await listen.wait()
        await echo(stream)

    plane.script = deaf
    call = bench.open()
    for number in range(5_000):
        await call.write(b"%d" % number * 100)
    listen.set()
    for _ in range(200):
        await call.read()
    assert await call.read() == b"0" * 100
    call.cancel()


async def test_requests_beyond_the_byte_limit_end_the_stream(plane: FakeControlPlane, bench: Bench) -> None:
    async def deaf(_: Stream) -> None:
        await asyncio.Event().wait()

    plane.script = deaf
    call = bench.open()
    with contextlib.suppress(grpc.RpcError, grpc.aio.BaseError):
        for _ in range(200):
            await write(call, b"x" * MIB)
    with pytest.raises(grpc.RpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_slow_reader_slows_the_control_plane_down(plane: FakeControlPlane, bench: Bench) -> None:
    """200 MB wait at the control plane, not in the relay."""
    written = 0

    async def pour(stream: Stream) -> None:
        nonlocal written
        for _ in range(200):
            await stream.write(bytes(MIB))
            written += 1
            await plane.notify()

    plane.script = pour
    call = bench.open()
    await call.write(b"go")
    assert len(await call.read()) == MIB
    stalled = await stalls(lambda: written)
    assert stalled < 60
    received = 1
    while await call.read() is not grpc.aio.EOF:
        received += 1
    assert (received, written) == (200, 200)


async def stalls(value: Callable[[], int]) -> int:
    """The value once it has stayed the same for 50 rounds of 10 ms."""
    last, same = value(), 0
    while same < 50:
        await asyncio.sleep(0.01)
        same = same + 1 if value() == last else 0
        last = value()
    return last


@pytest.mark.parametrize("size", [20 * MIB, 50 * MIB])
async def test_large_messages_pass(plane: FakeControlPlane, bench: Bench, size: int) -> None:
    push = discovery_pb2.DeltaDiscoveryResponse(type_url=CLUSTER, nonce="1")
    push.resources.add(name="big").resource.value = os.urandom(MIB) * (size // MIB)
    raw = push.SerializeToString()

    async def send(stream: Stream) -> None:
        await stream.write(raw)
        await echo(stream)

    plane.script = send
    call = bench.open()
    assert await call.read() == raw
    call.cancel()


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNIMPLEMENTED])
async def test_status_and_details_of_the_control_plane_reach_envoy(
    plane: FakeControlPlane, bench: Bench, code: grpc.StatusCode
) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        await stream.context.abort(code, "as the control plane says")

    plane.script = refuse
    call = bench.open()
    await call.write(b"x")
    with pytest.raises(grpc.RpcError):
        await call.read()
    assert (await call.code(), await call.details()) == (code, "as the control plane says")


async def test_the_reason_of_a_refusal_survives_that_envoy_is_just_writing(
    plane: FakeControlPlane, bench: Bench
) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.context.abort(grpc.StatusCode.NOT_FOUND, "gone")

    plane.script = refuse
    for _ in range(25):
        call = bench.open()
        with contextlib.suppress(grpc.RpcError, grpc.aio.BaseError):
            for _ in range(5):
                await write(call, b"x" * 100_000)
        with pytest.raises(grpc.RpcError):
            await call.read()
        assert (await call.code(), await call.details()) == (grpc.StatusCode.NOT_FOUND, "gone")


async def test_a_clean_end_of_the_control_plane_is_a_clean_end(plane: FakeControlPlane, bench: Bench) -> None:
    async def end(stream: Stream) -> None:
        await stream.read()

    plane.script = end
    call = bench.open()
    await call.write(b"x")
    assert await call.read() is grpc.aio.EOF
    assert await call.code() is grpc.StatusCode.OK


async def test_refusals_are_told_and_hold_envoy_back(plane: FakeControlPlane, bench: Bench) -> None:
    async def refuse(stream: Stream) -> None:
        await stream.read()
        await stream.context.abort(grpc.StatusCode.UNAUTHENTICATED, "token is expired")

    plane.script = refuse
    call = bench.open()
    await call.write(b"x")
    with pytest.raises(grpc.RpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.UNAUTHENTICATED
    assert bench.listener.refusals == [
        "the control plane refuses this proxy (UNAUTHENTICATED): token is expired"
    ]


async def test_the_token_is_asked_for_at_every_stream(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    for number in range(3):
        bench.tokens.current = f"token-{number}"
        call = bench.open()
        await call.write(b"x")
        assert await call.read() == b"x"
        call.cancel()
    assert [stream.token for stream in plane.streams] == ["token-0", "token-1", "token-2"]


async def test_several_streams_live_side_by_side(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    calls = [bench.open(method) for method in (DELTA, DELTA, HDS)]
    for number, call in enumerate(calls):
        await call.write(b"%d" % number)
    assert [await call.read() for call in calls] == [b"0", b"1", b"2"]
    assert sorted(stream.method for stream in plane.streams) == sorted([DELTA, DELTA, HDS])
    for call in calls:
        call.cancel()


async def test_streams_share_a_connection_while_it_holds(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    calls = [bench.open(method) for method in (DELTA, HDS)]
    for call in calls:
        await call.write(b"x")
        assert await call.read() == b"x"
    assert len({stream.context.peer() for stream in plane.streams}) == 1
    # The one that stays keeps the connection; with the last one it is closed.
    for call in calls:
        call.cancel()
        await plane.until(lambda: any(stream.end == "cancelled" for stream in plane.streams))
    await plane.until(lambda: all(stream.end == "cancelled" for stream in plane.streams))
    late = bench.open()
    await late.write(b"x")
    assert await late.read() == b"x"
    late.cancel()


async def test_a_stream_goes_by_the_ca_file_of_its_time(plane: FakeControlPlane, tmp_path: Path) -> None:
    plane.script = echo
    ca, other = tmp_path / "ca.pem", FakeControlPlane(tmp_path / "other")
    ca.write_text(plane.ca_pem)
    upstream = Upstream("localhost", plane.xds_port, sni="localhost", ca_path=str(ca))
    async with relaying(plane, tmp_path, upstream) as bench:
        first = bench.open()
        await first.write(b"x")
        assert await first.read() == b"x"
        ca.write_text(other.ca_pem)
        second = bench.open(HDS)
        with pytest.raises(grpc.RpcError):
            await second.read()
        assert await second.code() is grpc.StatusCode.UNAVAILABLE
        await first.write(b"y")
        assert await first.read() == b"y"
        first.cancel()


async def test_other_services_are_not_relayed(plane: FakeControlPlane, bench: Bench) -> None:
    call = bench.open("/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets")
    with pytest.raises(grpc.RpcError):
        await call.read()
    assert await call.code() is grpc.StatusCode.UNIMPLEMENTED
    assert plane.streams == []


async def test_an_envoy_that_vanishes_is_no_clean_end(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    call = bench.open()
    await call.write(b"x")
    await call.read()
    call.cancel()
    await plane.until(lambda: plane.streams[0].end)
    assert plane.streams[0].end == "cancelled"


async def test_leaving_is_a_clean_end_and_keeps_envoys_stream(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo
    call = bench.open()
    await call.write(b"x")
    await call.read()
    await bench.relay.leave()
    assert plane.streams[0].end == "half-closed"
    later = bench.open()
    await later.write(b"y")
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await call.read()
    assert not later.done()
    assert len(plane.streams) == 1


async def test_leaving_waits_for_no_deaf_control_plane(plane: FakeControlPlane, bench: Bench) -> None:
    async def deaf(_: Stream) -> None:
        await asyncio.Event().wait()

    plane.script = deaf
    call = bench.open()
    await call.write(b"x")
    await plane.until(lambda: plane.streams)
    async with asyncio.timeout(10):
        await bench.relay.leave()
    await plane.until(lambda: plane.streams[0].end)
    call.cancel()


async def test_configured_after_the_first_clusters_and_listeners(
    plane: FakeControlPlane, bench: Bench
) -> None:
    async def push(stream: Stream) -> None:
        for type_url in (CLUSTER, LISTENER):
            response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=type_url)
            await stream.write(response.SerializeToString())
        await echo(stream)

    plane.script = push
    call = bench.open()
    for type_url in (CLUSTER, LISTENER):
        await call.read()
        assert bench.listener.configurations == 0
        ack = discovery_pb2.DeltaDiscoveryRequest(type_url=type_url, response_nonce=type_url)
        await call.write(ack.SerializeToString())
    for _ in range(2):
        await call.read()
    assert bench.listener.configurations == 1
    call.cancel()


async def test_a_refused_push_is_logged_with_envoys_text(
    plane: FakeControlPlane, bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    async def push(stream: Stream) -> None:
        response = discovery_pb2.DeltaDiscoveryResponse(type_url=LISTENER, nonce="1")
        await stream.write(response.SerializeToString())
        await echo(stream)

    plane.script = push
    call = bench.open()
    await call.read()
    nack = discovery_pb2.DeltaDiscoveryRequest(type_url=LISTENER, response_nonce="1")
    nack.error_detail.message = "no such filter"
    await call.write(nack.SerializeToString())
    await call.read()
    (line,) = [record.getMessage() for record in caplog.records if "refuses" in record.getMessage()]
    assert line == "Envoy refuses Listener resources: no such filter (refusal 1 on this stream)"
    call.cancel()


async def test_a_proxy_of_the_environment_is_not_asked(
    plane: FakeControlPlane, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:1")
    plane.script = echo
    async with relaying(plane, tmp_path) as bench:
        call = bench.open()
        await call.write(b"x")
        assert await call.read() == b"x"
        call.cancel()


async def test_an_unreachable_control_plane_is_unavailable(tmp_path: Path, plane: FakeControlPlane) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    plane.xds_port = port
    async with relaying(plane, tmp_path) as bench:
        call = bench.open()
        with pytest.raises(grpc.RpcError):
            await call.read()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE


async def test_a_control_plane_with_another_certificate_gets_no_token(
    plane: FakeControlPlane, tmp_path: Path
) -> None:
    other = FakeControlPlane(tmp_path / "other")
    other.xds_port = plane.xds_port
    async with relaying(other, tmp_path) as bench:
        call = bench.open()
        with pytest.raises(grpc.RpcError):
            await call.read()
        assert await call.code() is grpc.StatusCode.UNAVAILABLE
    assert plane.streams == []


async def test_the_socket_is_private_takes_connections_before_the_start_and_replaces_a_stale_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "relay.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    relay = Relay(Upstream("localhost", 1), str)
    relay.bind(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as early:
        early.connect(str(path))
    await relay.stop()


async def test_a_file_in_the_way_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "relay.sock"
    path.write_text("mine")
    with pytest.raises(UserError, match="is in the way"):
        Relay(Upstream("localhost", 1), str).bind(path)
    assert path.read_text() == "mine"


async def test_streams_leave_nothing_behind(plane: FakeControlPlane, bench: Bench) -> None:
    plane.script = echo

    async def use() -> None:
        call = bench.open()
        await call.write(b"x")
        await call.read()
        call.cancel()
        await plane.until(lambda: all(stream.end for stream in plane.streams))

    await use()
    tasks, files = len(asyncio.all_tasks()), len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        await use()
    await stalls(lambda: len(asyncio.all_tasks()) + len(os.listdir("/proc/self/fd")))
    assert len(asyncio.all_tasks()) <= tasks
    assert len(os.listdir("/proc/self/fd")) < files + 15
