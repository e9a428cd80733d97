"""The connection of a zone to its global control plane: one for all streams (contract 8.1)."""

from __future__ import annotations

import asyncio
import errno
import os
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from kumacp.kds.at_global import admission
from kumacp.kds.at_zone.pin_client import Shown, shown_by
from kumacp.kds.at_zone.trouble import Dialled
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.admin_codec import decode_health
from kumacp.kds.protocol.messages import STREAM_FEATURES, MalformedMessage
from kumacp.settings import CpSettings
from kumamesh.errors import one_line
from kumamesh.version import VERSION

_KEEPALIVE_MS = 15_000
_CONNECT_S = 10.0
"""For the first answer of global: after an outage of the network the kernel's own patience lasts too long."""
_STATUS_FOLLOWS_S = 5.0
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    # The second is the one that bounds the wait for a ping's answer; the first alone does not.
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_MS),
    ("grpc.http2.ping_timeout_ms", _KEEPALIVE_MS),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_http_proxy", 0),
    ("grpc.enable_retries", 0),
)
_WELL = ("OK", "UNIMPLEMENTED")
"""Outcomes of a ping that say that global is there; not every version of it serves pings."""


class StreamEnded(Exception):
    """A call is over, or did not come about: gRPC's code in capitals, and its text."""

    def __init__(self, code: str, details: str) -> None:
        super().__init__(f"{code}: {details}")
        self.code = code
        self.details = details


@dataclass(frozen=True, slots=True)
class Address:
    """Where global is, whom to trust there, and who asks."""

    host: str
    port: int
    tls: bool
    zone: str
    store_id: str
    root_ca: Path | None = None
    skip_verify: bool = False
    token: Path | None = None
    max_message_bytes: int = 0

    @property
    def target(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def dialled(self) -> Dialled:
        trust = str(self.root_ca) if self.root_ca else "those of the system"
        return Dialled(self.target, self.tls, self.skip_verify, trust)


def address_of(settings: CpSettings, target: str, *, tls: bool, store_id: str) -> Address:
    """`target` is host:port, IPv6 addresses in brackets."""
    host, _, port = target.rpartition(":")
    return Address(
        host=host.strip("[]"),
        port=int(port),
        tls=tls,
        zone=settings.zone_name,
        store_id=store_id,
        root_ca=settings.kds_root_ca_file,
        skip_verify=settings.kds_tls_skip_verify,
        token=settings.kds_cp_token_path,
        max_message_bytes=settings.zone_kds_max_message_bytes,
    )


class GlobalClient:
    """One connection. `dial` makes it, and it is not made anew under way: the next one may lead to another
    control plane, or show another certificate."""

    def __init__(self, channel: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self._channel = channel
        self._metadata = metadata
        self._ping = channel.unary_unary(streams.HEALTH_CHECK)

    @classmethod
    async def dial(cls, address: Address) -> GlobalClient:
        """Connected, and answered; raises StreamEnded, or OSError for a file that cannot be read."""
        metadata = await asyncio.to_thread(_metadata, address)
        client = cls(await _channel(address), metadata)
        try:
            await client.ping(_CONNECT_S)
        except BaseException:
            await client.close()
            raise
        return client

    async def ping(self, timeout_s: float) -> float | None:
        """Tell that this zone is well; seconds until the next time, 0 for no change, None when global does
        not care. Raises StreamEnded."""
        try:
            return decode_health(await self._ping(b"", metadata=self._metadata, timeout=timeout_s))
        except MalformedMessage as error:
            raise StreamEnded("INTERNAL", str(error)) from None
        except grpc.aio.AioRpcError as error:
            ended = _ended(error)
            if ended.code not in _WELL:
                raise ended from None
            return None

    def open(self, method: str) -> ClientWire:
        return ClientWire(self._channel.stream_stream(method)(metadata=self._metadata))

    async def lost(self) -> None:
        """Until the connection is no more."""
        state = self._channel.get_state()
        while state is grpc.ChannelConnectivity.READY:
            await self._channel.wait_for_state_change(state)
            state = self._channel.get_state()

    async def close(self) -> None:
        await self._channel.close()


class ClientWire:
    """A stream that this side has opened. Reading and writing raise StreamEnded with what global said."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._sending = asyncio.Lock()

    async def read(self) -> bytes | None:
        try:
            data = await self._call.read()
        except grpc.aio.AioRpcError as error:
            raise _ended(error) from None
        return None if data is grpc.aio.EOF else data

    async def write(self, data: bytes) -> None:
        """grpc.aio's own `write` replaces the status of a call that is just being ended by INTERNAL; this
        leaves it as global sent it."""
        try:
            async with self._sending:
                await self._call.wait_for_connection()
                await self._call._cython_call.send_serialized_message(data)
        except grpc.aio.AioRpcError as error:
            raise _ended(error) from None
        except (grpc.aio.BaseError, asyncio.InvalidStateError):
            raise await self._status() from None

    def close(self) -> None:
        """Free the stream, if it is not over yet."""
        self._call.cancel()

    async def _status(self) -> StreamEnded:
        """Writing failed, so a status is there or about to come."""
        try:
            async with asyncio.timeout(_STATUS_FOLLOWS_S):
                return StreamEnded((await self._call.code()).name, await self._call.details() or "")
        except TimeoutError:
            return StreamEnded("UNAVAILABLE", "the stream is broken")


def _ended(error: Any) -> StreamEnded:
    return StreamEnded(error.code().name, error.details() or "")


def _metadata(address: Address) -> tuple[tuple[str, str], ...]:
    """The token is read anew for each connection. Raises OSError."""
    found = [
        (admission.CLIENT_ID, address.zone),
        (admission.KDS_VERSION, admission.SUPPORTED_VERSION),
        *((admission.FEATURES, feature) for feature in STREAM_FEATURES),
        (admission.VERSION, VERSION),
        (admission.STORE_ID, address.store_id),
    ]
    if address.token is not None:
        token = address.token.expanduser().read_bytes().decode(errors="replace").strip()
        if not token.isascii() or not token.isprintable():
            raise OSError(0, "it holds no token", str(address.token))
        found.append((admission.AUTHORIZATION, f"Bearer {token}"))
    return tuple(found)


async def _channel(address: Address) -> Any:
    options: list[tuple[str, Any]] = [
        *_OPTIONS,
        ("grpc.max_receive_message_length", address.max_message_bytes),
    ]
    compression = grpc.Compression.Gzip
    if not address.tls:
        return grpc.aio.insecure_channel(address.target, options, compression)
    if address.skip_verify:
        shown = await _shown(address)
        roots: bytes | None = shown.pem
        if shown.name and shown.name != address.host:
            options.append(("grpc.ssl_target_name_override", shown.name))
    else:
        roots = await asyncio.to_thread(_roots, address)
    return grpc.aio.secure_channel(address.target, grpc.ssl_channel_credentials(roots), options, compression)


async def _shown(address: Address) -> Shown:
    try:
        async with asyncio.timeout(_CONNECT_S):
            return await shown_by(address.host, address.port)
    except TimeoutError:
        raise StreamEnded("DEADLINE_EXCEEDED", "no certificate was shown") from None
    except ConnectionError as error:
        raise StreamEnded("UNAVAILABLE", os.strerror(error.errno or errno.ECONNRESET)) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or error
        raise StreamEnded("UNAVAILABLE", one_line(str(reason))) from None


def _roots(address: Address) -> bytes | None:
    """The CAs to trust, read anew for each connection; None for gRPC's own. Raises OSError."""
    if address.root_ca is not None:
        return address.root_ca.expanduser().read_bytes()
    of_system = ssl.get_default_verify_paths().cafile
    return Path(of_system).read_bytes() if of_system else None
