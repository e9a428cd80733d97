"""A relay between a client in Envoy's place and a fake control plane."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc.aio

from fake_cp import DELTA, UNLIMITED, FakeControlPlane, Stream
from kumadp.relay.server import Relay
from kumadp_bootstrap.rewrite import Upstream

HDS = "/envoy.service.health.v3.HealthDiscoveryService/StreamHealthCheck"


class Listener:
    """What the agent would hear."""

    def __init__(self, fatal: bool = False) -> None:
        self.configurations = 0
        self.refusals: list[str] = []
        self.fatal = fatal

    def configured(self) -> None:
        self.configurations += 1

    def refused(self, reason: str) -> bool:
        self.refusals.append(reason)
        return self.fatal


class Tokens:
    """A token source that counts."""

    def __init__(self) -> None:
        self.current = "token-0"

    def __call__(self) -> str:
        return self.current


class Bench:
    def __init__(self, relay: Relay, channel: Any, listener: Listener, tokens: Tokens) -> None:
        self.relay, self.channel, self.listener, self.tokens = relay, channel, listener, tokens

    def open(self, method: str = DELTA) -> Any:
        return self.channel.stream_stream(method)()


@contextlib.asynccontextmanager
async def relaying(
    plane: FakeControlPlane, folder: Path, upstream: Upstream | None = None
) -> AsyncIterator[Bench]:
    upstream = upstream or Upstream("localhost", plane.xds_port, sni="localhost", ca_pem=plane.ca_pem)
    tokens, listener = Tokens(), Listener()
    relay = Relay(upstream, tokens)
    path = folder / "relay.sock"
    relay.bind(path)
    await relay.start(listener)
    async with grpc.aio.insecure_channel(f"unix:{path}", UNLIMITED) as channel:
        try:
            yield Bench(relay, channel, listener, tokens)
        finally:
            await relay.stop()


async def echo(stream: Stream) -> None:
    while (raw := await stream.read()) is not None:
        await stream.write(raw)
