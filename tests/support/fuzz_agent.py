"""Fuzz targets: what the agent reads. A control plane, or Envoy, may say anything."""

from __future__ import annotations

import base64
import json

from envoy.service.discovery.v3.discovery_pb2 import (
    DeltaDiscoveryRequest,
    DeltaDiscoveryResponse,
    DiscoveryRequest,
    DiscoveryResponse,
)

from bootstrap_samples import RELAY_SOCKET, SAMPLES, TOKEN
from fuzz import Target
from fuzz_mutate import bytes_mutation, json_mutation, protobuf_mutation
from fuzz_resources import DOCUMENTS, text_of, words
from kumadp.bootstrap_exchange import Bootstrap, judge
from kumadp.proxy_resource import parse_resource
from kumadp.relay.observe import DELTA, STATE_OF_THE_WORLD, observer_for, short_type
from kumadp_bootstrap.protojson import get, message, messages
from kumadp_bootstrap.render import render
from kumadp_bootstrap.rewrite import admin_address, rewrite
from kumadp_bootstrap.yamltext import dump, load
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import dump_document
from kumamesh.xds import CLUSTER, LISTENER

_MOST_TYPES = 100
_MOST_OUTSTANDING = 1_024


def check_rewrite(data: bytes) -> str:
    """A bootstrap with the relay in it has no token in its services, and means the same when read again."""
    try:
        document = load(data.decode("utf-8", "replace"), "bootstrap")
        assert load(dump(document), "again") == document
        relayed = rewrite(document, RELAY_SOCKET)
    except UserError as error:
        return text_of(error)
    for source in (message(message(relayed.document, "dynamic_resources"), "ads_config"),
                   message(relayed.document, "hds_config")):  # fmt: skip
        for service in messages(source, "grpc_services"):
            assert get(service, "google_grpc") is None
            keys = [str(get(entry, "key")).lower() for entry in messages(service, "initial_metadata")]
            assert "authorization" not in keys
    assert RELAY_SOCKET in dump(relayed.document)
    assert load(dump(relayed.document), "again") == relayed.document
    try:
        admin_address(relayed.document)
    except UserError as error:
        return text_of(error)
    return f"rewritten {relayed.token_was_present}"


def check_answer(data: bytes) -> str:
    """The first line is the status, the rest the body of an answer to POST /bootstrap."""
    status, _, body = data.partition(b"\n")
    number = int(status) if status.isdigit() and len(status) < 6 else 200
    outcome = judge(number, body)
    if isinstance(outcome, Bootstrap):
        assert number == 200
        return "bootstrap"
    assert outcome.reason.isprintable()
    assert len(outcome.reason) < 10_000
    return outcome.reason[:40]


def check_observer(data: bytes) -> str:
    """A message over both methods and directions, many times: nothing grows without a bound."""
    outcome = []
    for method in (DELTA, STATE_OF_THE_WORLD):
        observer = observer_for(method)
        assert observer is not None
        for raw in (data, data[1:], data[: len(data) // 2]):
            observer.response(raw)
            outcome.append(type(observer.request(raw)).__name__)
        assert len(observer.types) <= _MOST_TYPES
        outcome.extend(short_type(name)[:10] for name in list(observer.types)[:1])
    return ";".join(outcome)


def check_resource_file(data: bytes) -> str:
    try:
        resource = parse_resource(data.decode("utf-8", "replace"), "dataplane", "dp.yaml")
    except UserError as error:
        return text_of(error)
    assert resource.name
    again = resource.with_admin_port(9901)
    json.dumps(json.loads(again.to_wire()), allow_nan=False)
    assert 0 <= resource.admin_port <= 65_535
    return "read"


_BOOTSTRAPS = tuple(render(sample).encode() for sample in SAMPLES.values())
_JSON_BOOTSTRAPS = tuple(json.dumps(load(text.decode(), "sample")).encode() for text in _BOOTSTRAPS)
_FIELDS = (
    "authorization", "ads_config", "adsConfig", "hds_config", "hdsConfig", "grpc_services", "grpcServices",
    "envoy_grpc", "google_grpc", "cluster_name", "initial_metadata", "static_resources", "clusters",
    "secrets", "socket_address", "ads_cluster", "call_credentials", "pipe", "path", "port_value", TOKEN,
)  # fmt: skip


def _messages() -> tuple[bytes, ...]:
    delta = DeltaDiscoveryResponse(type_url=CLUSTER, nonce="1", removed_resources=["x"])
    delta.resources.add(name="a", version="1").resource.value = b"body"
    whole = DiscoveryResponse(type_url=LISTENER, nonce="2", version_info="7")
    whole.resources.add(value=b"body")
    ack = DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce="1")
    refusal = DiscoveryRequest(type_url=LISTENER, response_nonce="2", version_info="7")
    refusal.error_detail.message = "no\nway"
    refusal.node.id = "default.web-1"
    return tuple(each.SerializeToString() for each in (delta, whole, ack, refusal))


_PROTO = (b"1", b"2", b"*", CLUSTER.encode(), LISTENER.encode())
_ANSWERS = (
    b"200\n" + json.dumps({"bootstrap": base64.b64encode(_BOOTSTRAPS[0]).decode()}).encode(),
    b"404\n",
    b"404\n404: Page Not Found",
    b"422\nnetworking.address: has to be an address",
    b"503\n",
)

TARGETS = (
    Target(
        "bootstrap rewrite",
        (*_BOOTSTRAPS, *_JSON_BOOTSTRAPS),
        (json_mutation(*_FIELDS), bytes_mutation(b"&a ", b"*a", b"authorization", b": ", b"- ", b"|\n")),
        check_rewrite,
        share=0.04,
    ),
    Target(
        "bootstrap answers",
        _ANSWERS,
        (bytes_mutation(b"200\n", b"404\n", b"\r\n", b'"'),),
        check_answer,
        share=0.5,
    ),
    Target(
        "relay's view",
        _messages(),
        (protobuf_mutation(*_PROTO), bytes_mutation(*_PROTO)),
        check_observer,
        share=0.7,
    ),
    Target(
        "resource files",
        tuple(dump_document(document).encode() for document in DOCUMENTS),
        (bytes_mutation(b"name: ", b"port: ", b"- ", b"{", b"}", b"'"), json_mutation(*words())),
        check_resource_file,
        share=0.3,
    ),
)
