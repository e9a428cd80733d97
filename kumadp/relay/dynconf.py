"""What the dynconf listener says (contract 4.1): bodies of direct responses, by their path. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from google.protobuf.message import DecodeError

DNS_PATH = "/dns"


class DynconfError(ValueError):
    """One line that says what is wrong."""


def body_of(listener: bytes, path: str) -> bytes | None:
    """What Envoy answers a GET of that path with, None when it has no such page. Raises DynconfError."""
    try:
        for route in _routes(listener):
            if route.match.path == path and route.direct_response.status == 200:
                return _body(route.direct_response.body, path)
    except DecodeError:
        raise DynconfError("the dynconf listener cannot be decoded") from None
    return None


def _routes(listener: bytes) -> Iterator[Any]:
    manager = http_connection_manager_pb2.HttpConnectionManager()
    for chain in listener_pb2.Listener.FromString(listener).filter_chains:
        for item in chain.filters:
            if item.typed_config.Unpack(manager):
                for host in manager.route_config.virtual_hosts:
                    yield from host.routes


def _body(source: Any, path: str) -> bytes:
    match source.WhichOneof("specifier"):
        case "inline_string":
            return bytes(source.inline_string.encode())
        case "inline_bytes":
            return bytes(source.inline_bytes)
    raise DynconfError(f"the dynconf listener has no text for {path}")
