"""Fuzz targets: what strangers send to the control plane before anybody knows who they are."""

from __future__ import annotations

import base64
import json
from random import Random

from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf.message import Message

from bootstrap_requests import DATAPLANE, INGRESS, PRIVATE, TOKEN, ZONE_TOKEN, body, facts
from fuzz import Target
from fuzz_mutate import bytes_mutation, json_mutation, protobuf_mutation
from fuzz_resources import words
from kumacp import bootstrap_service
from kumacp.dpserver.auth import authenticate
from kumacp.dpserver.node import parse_node, presentable
from kumacp.dpserver.refusal import MAX_MESSAGE_CHARS, Refused
from kumacp.dpserver.registration_driver import carried_resource
from kumacp.dpserver.stream_driver import MAX_TYPES
from kumacp.dpserver.wire import decode_request, encode_response
from kumadp_bootstrap.rewrite import rewrite
from kumadp_bootstrap.yamltext import dump, load
from kumamesh.delta import DeltaSession, Dialect
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET, XdsResource

_FACTS = facts(DATAPLANE, INGRESS)
_STATUSES = {200, 400, 401, 403, 404, 422}


def _unseen(*shown: str | bytes) -> None:
    """No key and no signature of a token in what others get to read."""
    key = base64.b64encode(PRIVATE).decode()
    for text in shown:
        plain = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
        assert "PRIVATE KEY" not in plain
        assert key[:60] not in plain
        assert TOKEN.rpartition(".")[2] not in plain, "a token is shown"


def check_bootstrap(data: bytes) -> str:
    """The first line is the Host header, the rest the body."""
    host, newline, request = data.partition(b"\n")
    bootstrap_service.wanted(request)
    answer = bootstrap_service.answer(
        request, accept="", host_header=host.decode("latin-1") if newline else "cp.example", facts=_FACTS
    )
    assert answer.status in _STATUSES
    if answer.status != 200:
        _unseen(answer.body)
        assert answer.body.decode().isprintable()
        assert len(answer.body) < 100 * len(data) + 10_000
        return f"{answer.status} {answer.body[:40]!r}"
    document = load(answer.body.decode(), "answer")
    relayed = rewrite(document, "/tmp/relay.sock")
    node = relayed.document.pop("node")
    _unseen(dump(relayed.document))
    return f"200 {len(str(node)) // 500}"


_TYPES = (CLUSTER, LISTENER, ENDPOINT, SECRET)
_SOURCE = {
    type_url: {name: XdsResource(type_url, name, "1", b"body") for name in ("a", "b", "c")}
    for type_url in _TYPES
}


def _requests() -> tuple[bytes, ...]:
    """Streams: messages behind their lengths, the first one with a node."""
    metadata = {
        "dataplane.resource": json.dumps(DATAPLANE),
        "dataplane.admin.port": "9901",
        "dataplane.readinessReporter.port": "9902",
        "features": ["feature-delta-grpc", 1, None],
        "version": {"kumaDp": {"version": "2.13.0"}, "envoy": {"version": "1.40.0"}},
        "workdir": "/tmp/x",
        "ipv6Enabled": True,
    }
    first = DeltaDiscoveryRequest(type_url=CLUSTER, initial_resource_versions={"a": "1", "gone": "7"})
    first.node.id = "default.web-1"
    first.node.metadata.update(metadata)
    zone = DeltaDiscoveryRequest(type_url=LISTENER, resource_names_subscribe=["*"])
    zone.node.id = ".zi-1"
    zone.node.metadata.update({"dataplane.proxyType": "ingress", "dataplane.resource": json.dumps(INGRESS)})
    refusal = DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce="1")
    refusal.error_detail.code = 13
    refusal.error_detail.message = "no a"
    rest = [
        DeltaDiscoveryRequest(type_url=ENDPOINT, resource_names_subscribe=["a", "b", "nobody"]),
        DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce="1"),
        DeltaDiscoveryRequest(type_url=ENDPOINT, response_nonce="2", resource_names_unsubscribe=["a", "*"]),
        refusal,
    ]
    return (
        joined(first, *rest),
        joined(zone, *rest[:2]),
        joined(first),
        joined(first, rest[0], refusal, *rest),
    )


def joined(*messages: Message) -> bytes:
    """As fields of a message, so that mutations keep the lengths right."""
    stream = DeltaDiscoveryResponse()
    for message in messages:
        stream.resources.add().resource.value = message.SerializeToString()
    return stream.SerializeToString()


def split(data: bytes) -> list[bytes]:
    try:
        stream = DeltaDiscoveryResponse.FromString(data)
    except Exception:
        return [data]
    return [resource.resource.value for resource in stream.resources] or [data]


def presentable_text(text: str) -> str:
    assert text.isprintable()
    assert len(text) <= MAX_MESSAGE_CHARS
    _unseen(text)
    return text


def check_xds(data: bytes) -> str:
    """One stream: admitted as the server does it, then served by a session."""
    messages = split(data)
    try:
        first = decode_request(messages[0], with_metadata=True)
        node = parse_node(first.node_id, first.metadata)
        shown = presentable(node.metadata, TOKEN)
        _unseen(json.dumps(shown, allow_nan=False))
        resource = carried_resource(node)
        if resource is None:
            return "nothing carried"
        token = TOKEN if node.key.mesh else ZONE_TOKEN
        authenticate(node, [token], _FACTS.keys, resource, zone="default", now=_FACTS.now)
        return "admitted;" + _serve(messages)
    except Refused as refusal:
        presentable_text(refusal.message)
        return f"{refusal.status.value} {refusal.message[:40]}"


def _serve(messages: list[bytes]) -> str:
    session, sent, told = DeltaSession(_SOURCE, Dialect.ENVOY, nack_backoff_s=5.0), 0, 0
    for now, message in enumerate(messages):
        request = decode_request(message, with_metadata=False).request
        told += len(request.subscribe) + len(request.unsubscribe) + len(request.initial_versions)
        session.on_request(request, float(now))
        if len(session.counters) > MAX_TYPES:
            return "types"
        for response in session.poll(float(now)):
            sent += 1
            again = DeltaDiscoveryResponse.FromString(encode_response(response, "cp"))
            assert (again.type_url, again.nonce) == (response.type_url, response.nonce)
            assert len(response.resources) <= 3
            assert len(response.removed) <= told
        assert session.size <= told + 3 * len(session.counters)
    assert sent <= 4 * len(messages)
    return f"{min(sent, 20)} sent"


_PROTO_WORDS = (
    *(b"*", b"a", b"default.web-1", b".zi-1", b"1", b"2", b"NaN", b'{"type":"Dataplane"}'),
    *(type_url.encode() for type_url in _TYPES),
)
_HOST = b"cp.example:5678\n"
_mutate_request = json_mutation(*json.loads(body()))
_mutate_resource = json_mutation(*words())


def _in_request(data: bytes, random: Random) -> bytes:
    host, _, request = data.partition(b"\n")
    return host + b"\n" + _mutate_request(request, random)


def _in_resource(data: bytes, random: Random) -> bytes:
    """Changes the resource that the request carries as a text."""
    host, _, request = data.partition(b"\n")
    try:
        document = json.loads(request)
        text = document["dataplaneResource"].encode()
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        return _in_request(data, random)
    document["dataplaneResource"] = _mutate_resource(text, random).decode("utf-8", "replace")
    return host + b"\n" + json.dumps(document).encode()


TARGETS = (
    Target(
        "bootstrap requests",
        (
            _HOST + body(),
            _HOST + body(INGRESS, proxyType="ingress", mesh="", name="zi-1", dataplaneToken=ZONE_TOKEN),
            _HOST + body("", dataplaneResource=...),
            _HOST
            + body(features=["feature-unified-resource-naming"], dnsPort=15054, dynamicMetadata={"a": "b"}),
            _HOST + body("type: Dataplane\nname: web-1\nmesh: default\nnetworking: {address: 1.2.3.4}\n"),
        ),
        (_in_request, _in_resource, _in_resource, bytes_mutation(b"[", b"]", b":", b"\n", b"\xff")),
        check_bootstrap,
        share=0.12,
    ),
    Target(
        "xDS streams",
        _requests(),
        (protobuf_mutation(*_PROTO_WORDS), protobuf_mutation(*_PROTO_WORDS), bytes_mutation(*_PROTO_WORDS)),
        check_xds,
    ),
)
