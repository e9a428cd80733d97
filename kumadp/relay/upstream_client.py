"""The control plane as the relay dials it: bytes in and out, over one connection while that holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kumadp_bootstrap.rewrite import Upstream
from kumamesh.names import format_address

_KEEPALIVE_MS = 30_000
_PING_TIMEOUT_MS = 10_000

MESSAGE_LIMITS = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)
_OPTIONS = (
    *MESSAGE_LIMITS,
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    # The second is the one that bounds the wait for a ping's answer; the first alone does not.
    ("grpc.keepalive_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.ping_timeout_ms", _PING_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # A failed connection must not slow down the next stream's: Envoy does the backing off.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)

_FAILED = (grpc.ChannelConnectivity.TRANSIENT_FAILURE, grpc.ChannelConnectivity.SHUTDOWN)


def target_of(upstream: Upstream) -> str:
    return format_address(upstream.host, upstream.port)


async def write(call: Any, raw: bytes) -> None:
    """Send one request. grpc.aio's own `write` replaces the status of a call that the server is just ending
    by INTERNAL, so that a refusal would lose its reason; this leaves the status as the server sent it."""
    await call.wait_for_connection()
    await call._cython_call.send_serialized_message(raw)


class Connections:
    """What streams to the control plane run over. A stream takes the last connection as long as that has not
    failed and the trust is the same; else it dials anew, without the failed one's back-off."""

    def __init__(self, system_ca_path: str) -> None:
        self._system_ca_path = system_ca_path
        self._last: _Connection | None = None

    def open(self, upstream: Upstream, method: str, token: str) -> UpstreamStream:
        """A call with the token of this moment; raises OSError when the CA file cannot be read."""
        dialled = _Dialled(upstream, _roots(upstream, self._system_ca_path))
        if self._last is None or not self._last.serves(dialled):
            self._last = _Connection(dialled)
        return UpstreamStream(self._last, method, token)


class UpstreamStream:
    """One call."""

    def __init__(self, connection: _Connection, method: str, token: str) -> None:
        self._connection = connection
        metadata = (("authorization", token),) if token else ()
        self.call: Any = connection.take().stream_stream(method)(metadata=metadata)

    async def close(self) -> None:
        """Cancel whatever still runs, and free the connection if nobody else uses it."""
        self.call.cancel()
        await self._connection.release()


@dataclass(frozen=True, slots=True)
class _Dialled:
    """Where a connection goes, and whom it trusts: PEM, None for grpc's own roots."""

    upstream: Upstream
    roots: bytes | None


class _Connection:
    """A channel, closed with the last stream on it."""

    def __init__(self, dialled: _Dialled) -> None:
        self._dialled = dialled
        self._channel = _channel(dialled)
        self._users = 0
        self._closed = False

    def serves(self, dialled: _Dialled) -> bool:
        """Whether a new stream may run over it."""
        return not self._closed and self._dialled == dialled and self._channel.get_state() not in _FAILED

    def take(self) -> Any:
        self._users += 1
        return self._channel

    async def release(self) -> None:
        self._users -= 1
        if not self._users:
            self._closed = True
            await self._channel.close()


def _channel(dialled: _Dialled) -> Any:
    upstream = dialled.upstream
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if upstream.authority:
        options.append(("grpc.default_authority", upstream.authority))
    target = target_of(upstream)
    if not upstream.tls:
        return grpc.aio.insecure_channel(target, options)
    if upstream.sni and upstream.sni != upstream.host:
        # Sent as SNI and looked for in the certificate, as the bootstrap asks of Envoy.
        options.append(("grpc.ssl_target_name_override", upstream.sni))
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(dialled.roots), options)


def _roots(upstream: Upstream, system_ca_path: str) -> bytes | None:
    """Read anew for every stream, so that a CA that was replaced is trusted from the next one on; None, where
    grpc takes its own roots, for no path; raises OSError."""
    path = upstream.ca_path or system_ca_path
    if not upstream.tls or upstream.ca_pem or not path:
        return upstream.ca_pem.encode() or None
    return Path(path).read_bytes()
