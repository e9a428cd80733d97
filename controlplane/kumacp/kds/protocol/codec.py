"""KDS messages as bytes (contract 8.3). Decoders raise MalformedMessage, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf import json_format
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct

from kumacp.kds.protocol.messages import MalformedMessage, Node, Received
from kumacp.kds.protocol.payload import KUMA_RESOURCE_URL, Unreadable, read_resource, write_resource
from kumacp.kds.wire.kds_pb2 import KumaResource
from kumamesh.delta import DeltaRequest, DeltaResponse
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.registry import TYPES, ResourceType
from kumamesh.xds import XdsResource, content_version

_LONGEST_ERROR = 4_096
_SHOWN_FIELDS = 5
_LONGEST_NAME = 300
"""Of a name in a line for people; names and meshes that are allowed are shorter."""


def encode_request(request: DeltaRequest, node: Node) -> bytes:
    """A serialised DeltaDiscoveryRequest."""
    message = DeltaDiscoveryRequest(
        type_url=request.type_url,
        resource_names_subscribe=request.subscribe,
        resource_names_unsubscribe=request.unsubscribe,
        initial_resource_versions=request.initial_versions,
        response_nonce=request.nonce,
    )
    message.node.id = node.id
    if metadata := _metadata(node):
        json_format.ParseDict(metadata, message.node.metadata)
    if request.error is not None:
        message.error_detail.message = request.error
    return bytes(message.SerializeToString())


def decode_request(data: bytes) -> tuple[DeltaRequest, Node]:
    """The request and who asks; a message without a node gives one with the id ""."""
    try:
        message = DeltaDiscoveryRequest.FromString(data)
    except DecodeError:
        raise MalformedMessage("the request is not a DeltaDiscoveryRequest") from None
    refused = message.HasField("error_detail")
    request = DeltaRequest(
        type_url=message.type_url,
        subscribe=tuple(message.resource_names_subscribe),
        unsubscribe=tuple(message.resource_names_unsubscribe),
        initial_versions=dict(message.initial_resource_versions),
        nonce=message.response_nonce,
        error=message.error_detail.message[:_LONGEST_ERROR] if refused else None,
    )
    return request, _node(message.node.id, message.node.metadata)


def encode_response(response: DeltaResponse, control_plane: str) -> bytes:
    """A serialised DeltaDiscoveryResponse."""
    message = DeltaDiscoveryResponse(
        type_url=response.type_url, nonce=response.nonce, removed_resources=response.removed
    )
    message.control_plane.identifier = control_plane
    for resource in response.resources:
        added = message.resources.add(name=resource.name, version=resource.version)
        added.resource.type_url = KUMA_RESOURCE_URL
        added.resource.value = resource.body
    return bytes(message.SerializeToString())


def decode_response(data: bytes) -> Received:
    """The response; of a type that is not stored here it has no resources."""
    try:
        message = DeltaDiscoveryResponse.FromString(data)
    except DecodeError:
        raise MalformedMessage("the response is not a DeltaDiscoveryResponse") from None
    type_ = TYPES.get(message.type_url)
    if type_ is None:
        return Received(message.type_url, message.nonce)
    resources, invalid, unread, passed_over = [], [], set(), []
    for item in message.resources:
        try:
            if item.resource.type_url != KUMA_RESOURCE_URL:
                raise Unreadable("is not a KumaResource")
            read = read_resource(type_, item.resource.value)
        except Unreadable as error:
            unread.add(_key(type_, item.name))
            invalid.append(f'{type_.name} "{item.name[:_LONGEST_NAME]}" {error}')
            continue
        resources.append(read.resource)
        if read.passed_over:
            fields = ", ".join(read.passed_over[:_SHOWN_FIELDS])[:_LONGEST_NAME]
            passed_over.append(f'{type_.name} "{item.name[:_LONGEST_NAME]}" ({fields})')
    return Received(
        type=type_.name,
        nonce=message.nonce,
        resources=tuple(resources),
        removed=tuple(_key(type_, name) for name in message.removed_resources),
        invalid=tuple(invalid),
        unread=frozenset(unread),
        passed_over=tuple(passed_over),
        control_plane=message.control_plane.identifier,
    )


def encode_resource(resource: Resource) -> XdsResource:
    """The resource as it travels; raises MalformedMessage if it cannot."""
    body = write_resource(resource)
    return XdsResource(resource.type, f"{resource.name}.{resource.mesh}", content_version(body), body)


def without_content(resource: Resource) -> XdsResource:
    """Tells that the resource is there, and nothing of it: nobody can read it, and nobody deletes it."""
    meta = KumaResource.Meta(name=resource.name, mesh=resource.mesh)
    body = KumaResource(meta=meta).SerializeToString()
    return XdsResource(resource.type, f"{resource.name}.{resource.mesh}", content_version(body), body)


def _key(type_: ResourceType, name: str) -> ResourceKey:
    """`<name>.<mesh>`, with nothing after the dot where there is no mesh; raises MalformedMessage."""
    own, dot, mesh = name.rpartition(".")
    if not dot or not own:
        raise MalformedMessage(f"{name[:_LONGEST_NAME]!r} is no name of a resource: <name>.<mesh>")
    return ResourceKey(type_.name, mesh if type_.mesh_scoped else "", own)


def _metadata(node: Node) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if node.version:
        found["version"] = {"kumaCp": dict(node.version)}
    if node.config:
        found["config"] = node.config
    if node.control_plane_id:
        found["control-plane-id"] = node.control_plane_id
    if node.features:
        found["features"] = sorted(node.features)
    return found


def _node(id_: str, metadata: Struct) -> Node:
    """What the metadata says in the right form; the rest is passed over."""
    fields = metadata.fields
    version = fields["version"].struct_value.fields if "version" in fields else {}
    features = fields["features"].list_value.values if "features" in fields else ()
    return Node(
        id=id_,
        version=_texts(version["kumaCp"].struct_value) if "kumaCp" in version else {},
        config=fields["config"].string_value if "config" in fields else "",
        control_plane_id=fields["control-plane-id"].string_value if "control-plane-id" in fields else "",
        features=frozenset(value.string_value for value in features if value.string_value),
    )


def _texts(struct: Struct) -> Mapping[str, str]:
    return {key: value.string_value for key, value in struct.fields.items() if value.string_value}
