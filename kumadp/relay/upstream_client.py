"""The control plane as the relay dials it: one connection per stream of Envoy, bytes in and out."""

from __future__ import annotations

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


def target_of(upstream: Upstream) -> str:
    return format_address(upstream.host, upstream.port)


async def write(call: Any, raw: bytes) -> None:
    """Send one request. grpc.aio's own `write` replaces the status of a call that the server is just ending
    by INTERNAL, so that a refusal would lose its reason; this leaves the status as the server sent it."""
    await call.wait_for_connection()
    await call._cython_call.send_serialized_message(raw)


class UpstreamStream:
    """One call on a connection of its own."""

    def __init__(self, upstream: Upstream, method: str, token: str, system_ca_path: str) -> None:
        self._channel = _channel(upstream, system_ca_path)
        metadata = (("authorization", token),) if token else ()
        self.call: Any = self._channel.stream_stream(method)(metadata=metadata)

    async def close(self) -> None:
        """Cancel whatever still runs and free the connection."""
        self.call.cancel()
        await self._channel.close()


def _channel(upstream: Upstream, system_ca_path: str) -> Any:
    options: list[tuple[str, Any]] = list(_OPTIONS)
    if upstream.authority:
        options.append(("grpc.default_authority", upstream.authority))
    target = target_of(upstream)
    if not upstream.tls:
        return grpc.aio.insecure_channel(target, options)
    if upstream.sni and upstream.sni != upstream.host:
        # Sent as SNI and looked for in the certificate, as the bootstrap asks of Envoy.
        options.append(("grpc.ssl_target_name_override", upstream.sni))
    roots = upstream.ca_pem.encode() or _read(upstream.ca_path or system_ca_path)
    return grpc.aio.secure_channel(target, grpc.ssl_channel_credentials(roots), options)


def _read(path: str) -> bytes | None:
    """None, where grpc takes its own roots, for no path; raises OSError. Read anew for every connection."""
    return Path(path).read_bytes() if path else None
