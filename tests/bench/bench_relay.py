"""Latency that the relay adds to a push: client -> relay -> upstream against client -> upstream, same TLS."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from probe import pss_mb

from kumacp.identity.server_cert import create_server_certificate
from kumadp.relay.server import Relay
from kumadp_bootstrap.rewrite import Upstream
from kumamesh.xds import LISTENER
from lab import Program, free_port, listens

METHOD = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
SIZES = {
    "1 KB": (1_000, 400, "p50 <= 0.4 ms"),
    "100 KB": (100_000, 200, "p50 <= 1 ms"),
    "10 MB": (10**7, 9, ""),
}
LARGE_PUSH = 50_000_000
ROUNDS = 9
SETTLE_S = 10.0


class UpstreamServer(grpc.GenericRpcHandler):
    """Answers each request with a response as large as the request's first subscribed name says."""

    def service(self, details: Any) -> Any:
        return grpc.stream_stream_rpc_method_handler(self.answer) if details.method == METHOD else None

    async def answer(self, _: Any, context: Any) -> None:
        ready: dict[int, bytes] = {}
        while (data := await context.read()) is not grpc.aio.EOF:
            size = int(DeltaDiscoveryRequest.FromString(data).resource_names_subscribe[0])
            if size not in ready:
                response = DeltaDiscoveryResponse(type_url=LISTENER, nonce="1")
                for number in range(max(1, size // 4000)):
                    item = response.resources.add(name=f"listener-{number}", version="1")
                    item.resource.value = b"x" * min(size, 4000)
                ready[size] = response.SerializeToString()
            await context.write(ready[size])


async def serve_upstream(port: int, folder: Path) -> None:
    pair = ((folder / "key.pem").read_bytes(), (folder / "cert.pem").read_bytes())
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers((UpstreamServer(),))
    server.add_secure_port(f"127.0.0.1:{port}", grpc.ssl_server_credentials([pair]))
    await server.start()
    await server.wait_for_termination()


async def serve_relay(port: int, folder: Path) -> None:
    class Listener:
        def configured(self) -> None: ...

        def refused(self, reason: str) -> bool:
            return False

    relay = Relay(
        Upstream("127.0.0.1", port, "localhost", (folder / "cert.pem").read_text()), lambda: "token"
    )
    relay.bind(folder / "relay.sock")
    await relay.start(Listener())
    await asyncio.Event().wait()


async def exchange(call: Any, size: int) -> float:
    """Milliseconds from a request to the whole response."""
    request = DeltaDiscoveryRequest(type_url=LISTENER, resource_names_subscribe=[str(size)])
    data = request.SerializeToString()
    begin = time.perf_counter()
    await call.write(data)
    await call.read()
    return (time.perf_counter() - begin) * 1000


async def measure(port: int, folder: Path, relay_pid: int) -> list[tuple[str, str, str]]:
    credentials = grpc.ssl_channel_credentials((folder / "cert.pem").read_bytes())
    options = [*UNLIMITED, ("grpc.ssl_target_name_override", "localhost")]
    channels = {
        "direct": grpc.aio.secure_channel(f"127.0.0.1:{port}", credentials, options),
        "relay": grpc.aio.insecure_channel(f"unix:{folder / 'relay.sock'}", options),
    }
    calls = {name: channel.stream_stream(METHOD)() for name, channel in channels.items()}
    rows = []
    idle = pss_mb(relay_pid)
    for label, (size, count, goal) in SIZES.items():
        times: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(ROUNDS):
            for name, call in calls.items():
                await exchange(call, size)
                times[name] += [await exchange(call, size) for _ in range(max(1, count // ROUNDS))]
        direct, relayed = (statistics.median(times[name]) for name in ("direct", "relay"))
        shown = f"p50 {relayed - direct:.2f} ms ({direct:.2f} direct, {relayed:.2f} relayed)"
        rows.append((f"relay, added latency at {label}", shown, goal))
    await exchange(calls["relay"], LARGE_PUSH)
    await asyncio.sleep(SETTLE_S)
    shown = f"{pss_mb(relay_pid) - idle:+.1f} MB against before"
    rows.append((f"relay, memory 10 s after a push of {LARGE_PUSH // 10**6} MB", shown, "<= +20 MB"))
    for channel in channels.values():
        await channel.close()
    return rows


def write_certificate(folder: Path) -> None:
    """Of the upstream."""
    certificate, key = create_server_certificate("localhost", ["127.0.0.1"], datetime.now(UTC))
    (folder / "cert.pem").write_bytes(certificate)
    (folder / "key.pem").write_bytes(key)


@contextlib.contextmanager
def running(role: str, port: int, folder: Path) -> Iterator[Program]:
    """`upstream` or `relay`, listening, in a process of its own; `port` is that of the upstream."""
    support = str(Path(__file__).parents[1] / "support")
    argv = [sys.executable, __file__, role, str(port), str(folder)]
    program = Program(role, argv, folder, {"PYTHONPATH": support})
    listening = (lambda: listens("127.0.0.1", port)) if role == "upstream" else (folder / "relay.sock").exists
    try:
        program.wait_until(listening, "listening")
        yield program
    except BaseException:
        print(program.log)
        raise
    finally:
        program.process.kill()
        program.process.wait()


def run() -> list[tuple[str, str, str]]:
    with tempfile.TemporaryDirectory() as name:
        folder, port = Path(name), free_port()
        write_certificate(folder)
        with running("upstream", port, folder), running("relay", port, folder) as relay:
            return asyncio.run(measure(port, folder, relay.process.pid))


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["upstream", port, folder]:
            asyncio.run(serve_upstream(int(port), Path(folder)))
        case ["relay", port, folder]:
            asyncio.run(serve_relay(int(port), Path(folder)))
        case _:
            for line in run():
                print("  ".join(line))
