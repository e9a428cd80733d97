"""Fuzz targets: what control planes tell each other."""

from __future__ import annotations

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from fuzz import Target
from fuzz_mutate import bytes_mutation, protobuf_mutation
from fuzz_resources import DOCUMENTS, SECRET_TEXT
from kumacp.kds.exchange.incoming import from_global, from_zone
from kumacp.kds.exchange.outgoing import to_global, to_zone
from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_resource,
    encode_response,
)
from kumacp.kds.protocol.messages import NODE_FEATURES, MalformedMessage, Node, Received
from kumacp.kds.protocol.subscriber import Subscriber, UnexpectedType
from kumamesh.delta import DeltaRequest, DeltaResponse, DeltaSession, Dialect
from kumamesh.resource import Resource
from kumamesh.resources.rest import from_rest, to_rest
from kumamesh.version import BUILD

_SECRET = b"not-to-be-shown"
_NODE = Node("east", BUILD.to_wire(), '{"mode": "zone"}', "cp-1", NODE_FEATURES)


def _stored() -> dict[str, list[Resource]]:
    """Resources that flow, by type."""
    found: dict[str, list[Resource]] = {}
    for document in DOCUMENTS:
        flow = FLOWS.get(document.get("type", ""))
        if flow is not None and (flow.to_some_zone or flow.to_global):
            resource = from_rest(document)
            found.setdefault(resource.type, []).append(resource)
    return found


_STORED = _stored()


def _response(resources: list[Resource], *removed: str) -> bytes:
    encoded = tuple(encode_resource(each) for each in resources)
    return encode_response(DeltaResponse(resources[0].type, "1", encoded, removed), "global")


def check_response(data: bytes) -> str:
    """What is taken in can be shown, told on, and is the same when it comes back."""
    try:
        received = decode_response(data)
    except MalformedMessage as error:
        return _shown(str(error))
    for line in received.invalid:
        _shown(line)
    for resource in received.resources:
        again = _response([resource])
        assert decode_response(again).resources == (resource,)
        to_rest(resource)
    _decide(received)
    kinds = (len(received.resources), len(received.removed), len(received.invalid))
    return f"{received.type[:20]} {kinds} {received.invalid[:1]}"


def _decide(received: Received) -> None:
    """Both sides take it in without a fault; what they write they would tell on."""
    stored = _STORED.get(received.type, [])
    for types in (("Dataplane", "ZoneIngress"), tuple(_STORED)):
        try:
            full = Subscriber(types, _NODE).receive(received)
        except UnexpectedType as error:
            _shown(str(error))
            continue
        down = from_global(received, stored, full=full, zone="east")
        up = from_zone(received, stored, full=full, zone="east", hashed=False, trusted=False)
        assert not up.deletes
        for resource in (*down.puts, *up.puts):
            for shown in (to_zone(resource, "west", NODE_FEATURES, bool), to_global(resource, "east")):
                if shown is not None:
                    encode_resource(shown)
        for line in (*down.refused, *up.refused):
            _shown(line)


def _shown(text: str) -> str:
    assert _SECRET.decode() not in text
    assert SECRET_TEXT not in text
    assert len(text) < 4_000
    return text


def check_requests(data: bytes) -> str:
    """A stream of requests, each behind a line with its length: read by a session that has something."""
    source = {
        type_: {each.name: each for each in map(encode_resource, held)} for type_, held in _STORED.items()
    }
    session = DeltaSession(source, Dialect.KDS, nack_backoff_s=5.0)
    told, now = [], 0.0
    for message in _messages(data):
        try:
            request, node = decode_request(message)
        except MalformedMessage as error:
            told.append(_shown(str(error)))
            break
        assert decode_request(encode_request(request, node)) == (request, node)
        session.on_request(request, now)
        told += [f"{each.type_url[:9]}{len(each.resources)}" for each in session.poll(now)]
        now += 61.0
    return " ".join(told)


def _messages(data: bytes) -> list[bytes]:
    messages = []
    while data and len(messages) < 50:
        size, newline, rest = data.partition(b"\n")
        if not newline or not size.isdigit() or len(size) > 6:
            break
        messages.append(rest[: int(size)])
        data = rest[int(size) :]
    return [*messages, data]


def _framed(*requests: DeltaRequest) -> bytes:
    encoded = [encode_request(request, _NODE) for request in requests]
    return b"".join(b"%d\n" % len(each) + each for each in encoded)


def _odd_response() -> bytes:
    """Resources that are no good, one by one for different reasons."""
    message = DeltaDiscoveryResponse.FromString(_response(_STORED["Mesh"], "gone."))
    message.resources.add(name="alien.").resource.type_url = "type.googleapis.com/x.Y"
    message.resources.add(name="empty.").resource.type_url = message.resources[0].resource.type_url
    return bytes(message.SerializeToString())


_ANY = (
    b"type.googleapis.com/kuma.mesh.v1alpha1.KumaResource",
    b"type.googleapis.com/kuma.mesh.v1alpha1.Dataplane",
    b"type.googleapis.com/kuma.system.v1alpha1.Secret",
    b"kuma.io/zone",
    b"kuma.io/origin",
    b"global",
    b"Secret",
    b"Mesh",
    b"*",
    b"a.default",
    b'{"from":[]}',
)
_MUTATIONS = (protobuf_mutation(*_ANY), bytes_mutation(*_ANY))
_REQUESTS = (
    DeltaRequest("Mesh", subscribe=("*",)),
    DeltaRequest("Secret", subscribe=("*",)),
    DeltaRequest("Mesh", nonce="1"),
    DeltaRequest("Secret", subscribe=("*",), nonce="2", error='Secret "a.default" exists'),
    DeltaRequest("Secret", nonce="3"),
)
_ALONE = [[each] for held in _STORED.values() for each in held]

TARGETS = (
    Target(
        "KDS response",
        (*(_response(held, "gone.default") for held in [*_STORED.values(), *_ALONE]), _odd_response()),
        _MUTATIONS,
        check_response,
    ),
    Target(
        "KDS requests",
        (_framed(*_REQUESTS), _framed(*reversed(_REQUESTS)), *map(_framed, _REQUESTS)),
        (bytes_mutation(*_ANY), *_MUTATIONS),
        check_requests,
        share=0.5,
    ),
)
