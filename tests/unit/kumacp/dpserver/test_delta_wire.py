"""Assembled responses are what protobuf would have written; requests are decoded or refused."""

from __future__ import annotations

from contextlib import suppress

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from hypothesis import given
from hypothesis import strategies as st

from kumacp.dpserver.refusal import Refused, Status
from kumacp.dpserver.wire import decode_request, encode_response
from kumamesh.delta import DeltaResponse
from kumamesh.xds import CLUSTER, XdsResource

TEXT = st.text(max_size=300)
RESOURCES = st.builds(XdsResource, st.just(CLUSTER), TEXT, TEXT, st.binary(max_size=40_000))


@given(st.lists(RESOURCES, max_size=5), st.lists(TEXT, max_size=3), TEXT)
def test_a_response_is_read_back_by_protobuf(
    resources: list[XdsResource], removed: list[str], nonce: str
) -> None:
    response = DeltaResponse(CLUSTER, nonce, tuple(resources), tuple(removed))
    message = DeltaDiscoveryResponse.FromString(encode_response(response, "cp-1"))
    assert message.type_url == CLUSTER
    assert message.nonce == nonce
    assert message.control_plane.identifier == "cp-1"
    assert list(message.removed_resources) == removed
    assert [
        (item.name, item.version, item.resource.type_url, item.resource.value) for item in message.resources
    ] == [(item.name, item.version, CLUSTER, item.body) for item in resources]


def test_a_body_that_is_made_when_it_is_sent_is_made_once() -> None:
    made: list[bytes] = []

    def make() -> bytes:
        made.append(b"body")
        return made[-1]

    deferred = XdsResource(CLUSTER, "a", "1", make)
    response = encode_response(DeltaResponse(CLUSTER, "1", (deferred,), ()), "cp-1")
    assert len(made) == 1
    kept = XdsResource(CLUSTER, "a", "1", b"body")
    assert response == encode_response(DeltaResponse(CLUSTER, "1", (kept,), ()), "cp-1")


def test_a_request_with_everything() -> None:
    message = DeltaDiscoveryRequest(
        type_url=CLUSTER,
        resource_names_subscribe=["a"],
        resource_names_unsubscribe=["b"],
        initial_resource_versions={"a": "1"},
        response_nonce="7",
    )
    message.node.id = "default.web-1"
    message.node.metadata.update(
        {"features": ["f"], "version": {"n": 1.5, "t": True, "x": None}, "bad": float("nan")}
    )
    message.error_detail.message = "no"
    incoming = decode_request(message.SerializeToString(), with_metadata=True)
    request = incoming.request
    assert (request.subscribe, request.unsubscribe, request.nonce) == (("a",), ("b",), "7")
    assert (dict(request.initial_versions), request.error) == ({"a": "1"}, "no")
    assert incoming.node_id == "default.web-1"
    assert incoming.metadata == {
        "features": ["f"],
        "version": {"n": 1.5, "t": True, "x": None},
        "bad": "nan",
    }


def test_a_refusal_without_a_text_is_a_refusal() -> None:
    message = DeltaDiscoveryRequest(type_url=CLUSTER, response_nonce="1")
    message.error_detail.code = 3
    assert decode_request(message.SerializeToString(), with_metadata=False).request.error == ""
    message.ClearField("error_detail")
    assert decode_request(message.SerializeToString(), with_metadata=False).request.error is None


@given(st.binary(max_size=200))
def test_any_bytes_are_decoded_or_refused(data: bytes) -> None:
    with suppress(Refused):
        decode_request(data, with_metadata=True)


def test_garbage_is_refused() -> None:
    with pytest.raises(Refused, match="not a DeltaDiscoveryRequest") as caught:
        decode_request(b"\xff\xff\xff", with_metadata=False)
    assert caught.value.status is Status.INVALID_ARGUMENT
