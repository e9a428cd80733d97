"""The address of a client behind the front: carried in the name of the Unix socket that stands for it."""

from __future__ import annotations

import re
from urllib.parse import unquote

from kumamesh.names import format_address

_MAPPED = "::ffff:"
_NAME = re.compile(r"mux/[0-9]+\.[0-9]+/(?P<address>[0-9a-fA-F.:\[\]%\w]+:[0-9]+)\Z")


def socket_name(process: int, number: int, host: str, port: int) -> bytes:
    """Abstract name (without its leading zero byte) to bind before the gRPC server is dialled."""
    if host.startswith(_MAPPED) and "." in host:
        host = host.removeprefix(_MAPPED)
    return f"mux/{process}.{number}/{format_address(host, port)}".encode()


def client_address(grpc_peer: str) -> str:
    """`ip:port` of the client from `context.peer()`; what is not from the front stays as it is."""
    found = _NAME.search(unquote(grpc_peer))
    return found["address"] if found else grpc_peer
