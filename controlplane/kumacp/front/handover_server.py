"""Serves the connections that the front hands over: TLS and HTTP on sockets accepted elsewhere."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable

HANDSHAKE_LIMIT_S = 10.0
MAX_HANDSHAKES = 1_024
"""TLS handshakes at a time; more clients are turned away, as a full listen backlog would."""

_LOG = logging.getLogger(__name__)


class HandoverServer:
    """`protocol` makes a server protocol for each connection, as `aiohttp.web.Server` does; `tls` is asked
    for each connection, so that a new certificate holds for new connections."""

    def __init__(
        self, protocol: Callable[[], asyncio.BaseProtocol], tls: Callable[[], ssl.SSLContext]
    ) -> None:
        self._protocol = protocol
        self._tls = tls
        self._group: asyncio.TaskGroup | None = None
        self._handshakes = 0

    async def run(self) -> None:
        """Serve until cancelled; `handover` turns clients away before and after."""
        try:
            async with asyncio.TaskGroup() as self._group:
                await asyncio.get_running_loop().create_future()
        finally:
            self._group = None

    def handover(self, client: socket.socket) -> None:
        """Take over an accepted socket."""
        if self._group is None or self._handshakes >= MAX_HANDSHAKES:
            client.close()
            return
        self._handshakes += 1
        self._group.create_task(self._handshake(client))

    async def _handshake(self, client: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                self._protocol, client, ssl=self._tls(), ssl_handshake_timeout=HANDSHAKE_LIMIT_S
            )
        except (OSError, ssl.SSLError) as error:
            _LOG.debug("TLS handshake failed: %s", error)
            client.close()
        finally:
            self._handshakes -= 1
