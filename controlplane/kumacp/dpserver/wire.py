"""Delta discovery messages as bytes: decode requests, assemble responses from serialised resources.

A response is joined from parts: a resource is serialised once and not once per client (DESIGN.md 3.8).
Field numbers: envoy/service/discovery/v3/discovery.proto, google/protobuf/any.proto.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct, Value

from kumacp.dpserver.refusal import Refused, Status
from kumamesh.delta import DeltaRequest, DeltaResponse
from kumamesh.xds import XdsResource

_LENGTH_DELIMITED = 2


@dataclass(frozen=True, slots=True)
class IncomingRequest:
    """A decoded request. `node_id` is "" and the metadata empty when it carries no node."""

    request: DeltaRequest
    node_id: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict, repr=False)


def decode_request(data: bytes, *, with_metadata: bool) -> IncomingRequest:
    """Raises Refused. Only a first request's metadata is worth reading: Envoy may repeat 60 KB each time."""
    try:
        message = DeltaDiscoveryRequest.FromString(data)
    except DecodeError:
        raise Refused(Status.INVALID_ARGUMENT, "the request is not a DeltaDiscoveryRequest") from None
    refused = message.HasField("error_detail")
    request = DeltaRequest(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
        nonce=message.response_nonce,
        error=message.error_detail.message if refused else None,
    )
    metadata = json_object(message.node.metadata) if with_metadata else {}
    return IncomingRequest(request, message.node.id, metadata)


def encode_response(response: DeltaResponse, control_plane_id: str) -> bytes:
    """A serialised DeltaDiscoveryResponse."""
    type_url = _text(1, response.type_url)
    parts: list[bytes] = []
    for resource in response.resources:
        parts += _resource(resource, type_url)
    parts.append(_text(4, response.type_url))
    parts.append(_text(5, response.nonce))
    parts.extend(_text(6, name) for name in response.removed)
    identifier = _text(1, control_plane_id)
    parts += [_head(7, len(identifier)), identifier]
    return b"".join(parts)


def _resource(resource: XdsResource, type_url: bytes) -> tuple[bytes, ...]:
    version, name = _text(1, resource.version), _text(3, resource.name)
    body = resource.body  # once: it may be made here
    value = _head(2, len(body))
    any_size = len(type_url) + len(value) + len(body)
    any_head = _head(2, any_size)
    size = len(version) + len(any_head) + any_size + len(name)
    return _head(2, size), version, any_head, type_url, value, body, name


def _text(number: int, value: str) -> bytes:
    data = value.encode()
    return _head(number, len(data)) + data


def _head(number: int, size: int) -> bytes:
    """Tag and length of a length-delimited field; field numbers are below 16."""
    head = bytearray((number << 3 | _LENGTH_DELIMITED,))
    while size > 0x7F:
        head.append(size & 0x7F | 0x80)
        size >>= 7
    head.append(size)
    return bytes(head)


def json_object(struct: Struct) -> dict[str, Any]:
    """Plain JSON values."""
    return {key: _plain(value) for key, value in struct.fields.items()}


def _plain(value: Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "bool_value":
            return value.bool_value
        case "number_value":
            # JSON has neither NaN nor infinity.
            return value.number_value if math.isfinite(value.number_value) else str(value.number_value)
        case "struct_value":
            return json_object(value.struct_value)
        case "list_value":
            return [_plain(item) for item in value.list_value.values]
    return None
