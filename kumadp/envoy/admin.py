"""Envoy's admin interface, as far as the agent needs it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re

import h11

_TIMEOUT_S = 5.0
_MAX_BYTES = 4 * 1024 * 1024
_ACTIVE = re.compile(
    r"^listener\.(?!admin\.)(?P<name>.+)\.downstream_cx_active: (?P<count>\d+)$", re.MULTILINE
)
_PER_WORKER = re.compile(r"\.worker_\d+$")


class AdminError(Exception):
    """Envoy's admin interface did not do what it was asked."""


class AdminClient:
    """One connection per call: calls are rare, and Envoy may be gone at the next one."""

    def __init__(self, address: str, port: int) -> None:
        self.address, self.port = address, port

    async def live(self) -> bool:
        """Whether Envoy has all its first configuration and serves."""
        status, _ = await self._call("GET", "/ready")
        return status == 200

    async def fail_healthcheck(self) -> None:
        await self._post("/healthcheck/fail")

    async def drain_listeners(self, *, inbound_only: bool = False) -> None:
        """Ask peers to leave; listeners go on accepting, since a refused connection is a failed request."""
        await self._post(f"/drain_listeners?{'inboundonly&' if inbound_only else ''}graceful&skip_exit")

    async def active_connections(self) -> int:
        """Open connections of all listeners but the admin one."""
        status, body = await self._call("GET", "/stats?filter=%5Elistener%5C..*downstream_cx_active%24")
        if status != 200:
            raise AdminError(f"/stats answered {status}")
        return count_active(body.decode("utf-8", "replace"))

    async def addresses(self) -> frozenset[str]:
        """Those that listeners have."""
        status, body = await self._call("GET", "/listeners?format=json")
        if status != 200:
            raise AdminError(f"/listeners answered {status}")
        try:
            return addresses_of(body)
        except ValueError as error:
            raise AdminError(f"/listeners answered what cannot be read: {error}") from None

    async def _post(self, target: str) -> None:
        status, body = await self._call("POST", target)
        if status != 200:
            raise AdminError(f"{target} answered {status} {body[:200].decode('utf-8', 'replace')}")

    async def _call(self, method: str, target: str) -> tuple[int, bytes]:
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                reader, writer = await asyncio.open_connection(self.address, self.port)
                try:
                    return await _exchange(reader, writer, method, target)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except TimeoutError:
            raise AdminError(f"{target} was not answered within {_TIMEOUT_S:.0f} s") from None
        except (OSError, h11.ProtocolError) as error:
            raise AdminError(f"{target} failed: {error}") from None


def count_active(stats: str) -> int:
    """Sum of the listeners' gauges; each worker's share is in its listener's and not counted twice."""
    return sum(int(hit["count"]) for hit in _ACTIVE.finditer(stats) if not _PER_WORKER.search(hit["name"]))


def addresses_of(listeners: bytes) -> frozenset[str]:
    """What Envoy answers to /listeners?format=json. Raises ValueError."""
    try:
        statuses = json.loads(listeners).get("listener_statuses") or ()
        local = [status.get("local_address", {}).get("socket_address", {}) for status in statuses]
        return frozenset(address["address"] for address in local if address)
    except (AttributeError, TypeError, KeyError):
        raise ValueError("no list of listeners") from None


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, method: str, target: str
) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    headers = [("host", "envoy"), ("connection", "close"), ("content-length", "0")]
    writer.write(connection.send(h11.Request(method=method, target=target, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    await writer.drain()
    status, body = 0, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65_536))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
            if len(body) > _MAX_BYTES:
                raise AdminError(f"{target} answers more than {_MAX_BYTES} bytes")
        elif isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
            return status, bytes(body)
