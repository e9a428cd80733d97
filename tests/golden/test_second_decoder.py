"""What we emit, read by an independent implementation of protobuf and of Envoy's API (envoy-data-plane).

Two libraries that agree on every byte rule out that a fault of the one we use looks like a correct golden.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Iterator, MutableMapping
from typing import Any

import betterproto2
import pytest
from envoy_data_plane.message_pool import default_message_pool
from google.protobuf import descriptor_pool, message, message_factory
from google.protobuf.any_pb2 import Any as AnyMessage

from kumacp.xds.build import build
from xds_cases import cases

CASES = cases()
# Its generated modules use a form of validator that newer pydantic versions warn of when they are imported.
pytestmark = pytest.mark.filterwarnings("ignore:Using `@model_validator`:DeprecationWarning")


def first_class(type_url: str) -> type[message.Message]:
    descriptor = descriptor_pool.Default().FindMessageTypeByName(type_url.rpartition("/")[2])
    return message_factory.GetMessageClass(descriptor)


def second_class(type_url: str) -> type[betterproto2.Message]:
    package = type_url.rpartition("/")[2].rpartition(".")[0]
    importlib.import_module(f"envoy_data_plane.{package}")
    return default_message_pool.url_to_type[type_url]


def anys_in(value: message.Message) -> Iterator[AnyMessage]:
    """Every Any of a message, at any depth but not inside another Any."""
    if isinstance(value, AnyMessage):
        yield value
        return
    for field, content in value.ListFields():
        if field.message_type is None:
            continue
        if isinstance(content, message.Message):
            yield from anys_in(content)
            continue
        for item in content.values() if isinstance(content, MutableMapping) else content:
            if isinstance(item, message.Message):
                yield from anys_in(item)


def has_unknown_fields(value: Any) -> bool:
    if isinstance(value, betterproto2.Message):
        inner = (getattr(value, field.name) for field in dataclasses.fields(value))
        return bool(value._unknown_fields) or any(has_unknown_fields(item) for item in inner)
    if isinstance(value, dict):
        return any(has_unknown_fields(item) for item in value.values())
    return isinstance(value, list) and any(has_unknown_fields(item) for item in value)


def messages_of(type_url: str, body: bytes) -> Iterator[tuple[str, bytes]]:
    """The message and all that are packed into it, each once."""
    yield type_url, body
    for packed in anys_in(first_class(type_url).FromString(body)):
        yield from messages_of(packed.type_url, packed.value)


@pytest.mark.parametrize("name", CASES)
def test_second_decoder_reads_the_same(name: str) -> None:
    resource = build(CASES[name])
    for type_url, body in messages_of(resource.type_url, resource.body):
        ours, theirs = first_class(type_url), second_class(type_url)
        decoded = theirs.parse(body)
        assert not has_unknown_fields(decoded), type_url
        assert ours.FromString(bytes(decoded)) == ours.FromString(body), type_url


@pytest.mark.parametrize(
    ("name", "inner"),
    [
        (
            "inbound_grpc_rules",
            {"Listener", "HttpConnectionManager", "RBAC", "UriSanInput", "Action", "Router"},
        ),
        ("cluster_http_mtls", {"Cluster", "HttpProtocolOptions", "UpstreamTlsContext"}),
    ],
)
def test_packed_messages_of_every_depth_are_looked_at(name: str, inner: set[str]) -> None:
    resource = build(CASES[name])
    types = {url.rpartition(".")[2] for url, _ in messages_of(resource.type_url, resource.body)}
    assert inner <= types


def test_unknown_fields_are_noticed() -> None:
    listener = second_class(build(CASES["inbound_tcp_plain"]).type_url)
    assert has_unknown_fields(listener.parse(b"\xfa\x3e\x01x"))  # field 1007
