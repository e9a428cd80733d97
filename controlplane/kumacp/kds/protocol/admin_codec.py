"""What global asks the proxies of a zone, and their answers, as bytes (contract 8.2). Decoders raise
MalformedMessage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import DecodeError

from kumacp.envoyadmin import question as ask
from kumacp.envoyadmin.question import JSON_TYPE, Question
from kumacp.kds.protocol import streams
from kumacp.kds.protocol.messages import MalformedMessage
from kumacp.kds.wire import kds_pb2
from kumamesh.resource import ResourceKey


@dataclass(frozen=True, slots=True)
class Asked:
    """`id` comes back with the answer; `proxy` has the name that it has in its zone."""

    id: str
    proxy: ResourceKey
    question: Question


@dataclass(frozen=True, slots=True)
class Answered:
    """`body` is what Envoy said, None when it could not be asked: then `error` says why."""

    id: str
    body: bytes | None = field(default=None, repr=False)
    error: str = ""


@dataclass(frozen=True, slots=True)
class _Kind:
    request: Any
    response: Any
    body: str


_KINDS = {
    streams.XDS_CONFIGS: _Kind(kds_pb2.XDSConfigRequest, kds_pb2.XDSConfigResponse, "config"),
    streams.STATS: _Kind(kds_pb2.StatsRequest, kds_pb2.StatsResponse, "stats"),
    streams.CLUSTERS: _Kind(kds_pb2.ClustersRequest, kds_pb2.ClustersResponse, "clusters"),
}
_PATHS = {
    ask.config_dump(include_eds=False).path: streams.XDS_CONFIGS,
    ask.stats(used_only=False, as_json=False).path: streams.STATS,
    ask.clusters(as_json=False).path: streams.CLUSTERS,
}


def stream_of(question: Question) -> str:
    """The method of the stream that carries such questions."""
    return _PATHS[question.path]


def encode_question(asked: Asked) -> bytes:
    """A filter on statistics has no place on the wire: all of them are asked for."""
    method, question = stream_of(asked.question), asked.question
    message = _KINDS[method].request(
        request_id=asked.id,
        resource_type=asked.proxy.type,
        resource_name=asked.proxy.name,
        resource_mesh=asked.proxy.mesh,
    )
    query = dict(question.query)
    if method == streams.XDS_CONFIGS:
        message.include_eds = "include_eds" in query
    else:
        message.format = int(question.content_type == JSON_TYPE)
    if method == streams.STATS:
        message.used_only = "usedonly" in query
    data: bytes = message.SerializeToString()
    return data


def decode_question(method: str, data: bytes) -> Asked:
    message = _parsed(_KINDS[method].request(), data)
    key = ResourceKey(message.resource_type, message.resource_mesh, message.resource_name)
    if method == streams.XDS_CONFIGS:
        question = ask.config_dump(include_eds=message.include_eds)
    elif method == streams.STATS:
        question = ask.stats(used_only=message.used_only, as_json=bool(message.format))
    else:
        question = ask.clusters(as_json=bool(message.format))
    return Asked(message.request_id, key, question)


def encode_answer(method: str, answered: Answered) -> bytes:
    kind = _KINDS[method]
    message = kind.response(request_id=answered.id)
    if answered.body is None:
        message.error = answered.error
    else:
        setattr(message, kind.body, answered.body)
    data: bytes = message.SerializeToString()
    return data


def decode_answer(method: str, data: bytes) -> Answered:
    kind = _KINDS[method]
    message = _parsed(kind.response(), data)
    if message.WhichOneof("result") != kind.body:
        return Answered(message.request_id, error=message.error or "the zone sent no answer")
    return Answered(message.request_id, body=getattr(message, kind.body))


def encode_health(interval_s: float) -> bytes:
    """The answer to a ping; 0: the zone keeps its interval."""
    message = kds_pb2.ZoneHealthCheckResponse()
    message.interval.FromNanoseconds(int(interval_s * 1e9))
    data: bytes = message.SerializeToString()
    return data


def decode_health(data: bytes) -> float:
    """Seconds until the next ping; 0: the interval stays."""
    interval = _parsed(kds_pb2.ZoneHealthCheckResponse(), data).interval
    return max(0.0, float(interval.seconds) + float(interval.nanos) / 1e9)


def _parsed(message: Any, data: bytes) -> Any:
    try:
        message.ParseFromString(data)
    except DecodeError:
        raise MalformedMessage("the bytes are no message of the global KDS service") from None
    return message
