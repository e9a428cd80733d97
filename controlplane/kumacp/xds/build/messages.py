"""Small protobuf values that every builder needs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from envoy.config.core.v3 import address_pb2, base_pb2, config_source_pb2, extension_pb2
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.protobuf.struct_pb2 import Struct
from google.protobuf.wrappers_pb2 import UInt32Value

from kumacp.xds.model import Tags

_NOT_METRIC = re.compile(r"[^a-zA-Z0-9_-]")


def serialise(message: Any) -> bytes:
    """Map entries sorted, so that equal messages are equal bytes."""
    data: bytes = message.SerializeToString(deterministic=True)
    return data


def pack(message: Any) -> AnyMessage:
    return AnyMessage(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}", value=serialise(message)
    )


def extension(name: str, message: Any) -> Any:
    """A TypedExtensionConfig."""
    return extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(message))


def seconds(value: float) -> Duration:
    return Duration(seconds=int(value), nanos=round(value % 1 * 1e9))


def uint32(value: int) -> UInt32Value:
    return UInt32Value(value=value)


def address(host: str, port: int) -> Any:
    return address_pb2.Address(socket_address=address_pb2.SocketAddress(address=host, port_value=port))


def pipe(path: str) -> Any:
    return address_pb2.Address(pipe=address_pb2.Pipe(path=path))


def inline(data: bytes) -> Any:
    return base_pb2.DataSource(inline_bytes=data)


def text(value: str) -> Any:
    return base_pb2.DataSource(inline_string=value)


@cache
def from_ads() -> Any:
    """Config source: the ADS stream of the bootstrap. Never change what this returns."""
    return config_source_pb2.ConfigSource(
        ads=config_source_pb2.AggregatedConfigSource(),
        resource_api_version=config_source_pb2.V3,
    )


def metadata(tags: Tags, *namespaces: str) -> Any | None:
    """The tags under each of the filter namespaces; None without tags."""
    if not tags:
        return None
    return base_pb2.Metadata(filter_metadata={name: struct(dict(tags)) for name in namespaces})


def struct(values: Mapping[str, str]) -> Struct:
    made = Struct()
    made.update(values)
    return made


def stat_name(name: str) -> str:
    """The name with what separates parts of a metric (or is not legal in one) replaced."""
    return _NOT_METRIC.sub("_", name)
