"""A resource as the bytes of a KumaResource, and back (contract 8.3).

The specs of older types are messages, those of newer ones JSON text in an Any that names no type. The JSON
form of the messages is that of the specs, except that durations have no other unit than seconds.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any as Json

from google.protobuf import json_format
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError, EncodeError, Message

from kumacp.kds.protocol.fields import to_body, to_message
from kumacp.kds.protocol.messages import MalformedMessage
from kumacp.kds.wire.insight_pb2 import (
    DataplaneInsight,
    ServiceInsight,
    ZoneEgressInsight,
    ZoneIngressInsight,
)
from kumacp.kds.wire.kds_pb2 import KumaResource
from kumacp.kds.wire.mesh_pb2 import ExternalService, Mesh, TrafficPermission, VirtualOutbound
from kumacp.kds.wire.proxy_pb2 import Dataplane, ZoneEgress, ZoneIngress
from kumacp.kds.wire.system_pb2 import Config, Secret
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.registry import ResourceType
from kumamesh.resources.rest import spec_to_json
from kumamesh.resources.rules.common import name_problem
from kumamesh.resources.translate import check

_URL = "type.googleapis.com/"
KUMA_RESOURCE_URL = _URL + KumaResource.DESCRIPTOR.full_name
_SHOWN_VIOLATIONS = 3
_LONGEST_REASON = 200
_SECRETS = ("Secret", "GlobalSecret")

MESSAGES: Mapping[str, type[Message]] = {
    "Config": Config,
    "Dataplane": Dataplane,
    "DataplaneInsight": DataplaneInsight,
    "ExternalService": ExternalService,
    "GlobalSecret": Secret,
    "Mesh": Mesh,
    "Secret": Secret,
    "ServiceInsight": ServiceInsight,
    "TrafficPermission": TrafficPermission,
    "VirtualOutbound": VirtualOutbound,
    "ZoneEgress": ZoneEgress,
    "ZoneEgressInsight": ZoneEgressInsight,
    "ZoneIngress": ZoneIngress,
    "ZoneIngressInsight": ZoneIngressInsight,
}
"""By type, where the spec is a message."""


class Unreadable(ValueError):
    """A resource that cannot be taken in; one line that says why."""


def write_resource(resource: Resource) -> bytes:
    """The KumaResource; equal resources give equal bytes. Raises MalformedMessage."""
    try:
        meta = KumaResource.Meta(name=resource.name, mesh=resource.mesh, labels=dict(resource.labels))
        message = KumaResource(meta=meta, spec=_write_spec(resource))
        return message.SerializeToString(deterministic=True)
    except (json_format.ParseError, EncodeError, ValueError) as error:
        reason = str(error).splitlines()[0][:_LONGEST_REASON]
        # What does not fit is quoted, and may be secret.
        told = "" if resource.type in _SECRETS else f": {reason}"
        raise MalformedMessage(
            f"{resource.type} {resource.name!r} cannot be told to other control planes{told}"
        ) from None


@dataclass(frozen=True, slots=True)
class Read:
    """What was in the bytes. `passed_over` are the paths of fields that are none of this version's: a newer
    peer may have more of them, and a resource that is not there is worse than one without them."""

    resource: Resource
    passed_over: tuple[str, ...]


def read_resource(type_: ResourceType, data: bytes) -> Read:
    """The resource of a KumaResource, if it obeys the rules of its type; raises Unreadable."""
    try:
        message = KumaResource.FromString(data)
    except DecodeError:
        raise Unreadable("is not a KumaResource") from None
    key = ResourceKey(type_.name, message.meta.mesh if type_.mesh_scoped else "", message.meta.name)
    for field, value in (("name", key.name), ("mesh", key.mesh)):
        problem = name_problem(value) if field == "name" or type_.mesh_scoped else None
        if problem:
            raise Unreadable(f"{field}: {problem}")
    if "" in message.meta.labels:
        raise Unreadable("labels: label name must be non-empty")
    if not message.HasField("spec"):
        raise Unreadable("has no spec")
    parsed = check(type_.spec, _read_spec(type_, message.spec), type_.rules)
    refused = [each for each in parsed.violations if not each.unknown]
    if parsed.violations and parsed.spec is not None and not refused:
        # What is left without the fields that are passed over must obey the rules by itself.
        refused = [each for each in type_.rules(parsed.spec) if not each.unknown]
    if refused or parsed.spec is None:
        shown = (f"{each.field}: {each.message}" for each in refused[:_SHOWN_VIOLATIONS])
        raise Unreadable(", ".join(shown))
    passed_over = tuple(each.field for each in parsed.violations)
    return Read(Resource(key, parsed.spec, dict(message.meta.labels)), passed_over)


def _write_spec(resource: Resource) -> Any:
    body = spec_to_json(resource.spec)
    message_type = MESSAGES.get(resource.type)
    if message_type is None:
        text = json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False)
        return Any(value=text.encode())
    value = to_message(body, message_type).SerializeToString(deterministic=True)
    return Any(type_url=_URL + message_type.DESCRIPTOR.full_name, value=value)


def _read_spec(type_: ResourceType, spec: Any) -> Mapping[str, Json]:
    message_type = MESSAGES.get(type_.name)
    if message_type is None:
        return _read_json(spec)
    descriptor = message_type.DESCRIPTOR
    if spec.type_url.rpartition("/")[2] != descriptor.full_name:
        raise Unreadable(f"spec: is of type {spec.type_url[:100]!r}, not {descriptor.full_name}")
    try:
        return to_body(message_type.FromString(spec.value))
    except (DecodeError, json_format.Error, ValueError, OverflowError, RecursionError):
        raise Unreadable(f"spec: is not a {descriptor.full_name}") from None


def _read_json(spec: Any) -> Mapping[str, Json]:
    if spec.type_url:
        raise Unreadable(f"spec: is of type {spec.type_url[:100]!r}, not JSON")
    try:
        body = json.loads(spec.value)
        # A text can name half a character, and nobody could be shown the resource.
        json.dumps(body, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        raise Unreadable("spec: is not JSON") from None
    return _object(body)


def _object(value: Json) -> Mapping[str, Json]:
    if isinstance(value, dict):
        return value
    raise Unreadable("spec: must be an object")
