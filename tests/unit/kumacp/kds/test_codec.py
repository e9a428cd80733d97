"""Messages as bytes: field by field against Kuma's numbers, by decoders that share nothing with ours, and
there and back."""

from __future__ import annotations

import importlib
import json
from typing import Any

import pytest
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryRequest, DeltaDiscoveryResponse
from google.protobuf import json_format

from fuzz_resources import DOCUMENTS
from kumacp.kds.protocol.codec import (
    decode_request,
    decode_response,
    encode_request,
    encode_resource,
    encode_response,
)
from kumacp.kds.protocol.messages import NODE_FEATURES, MalformedMessage, Node, Received
from kumamesh.delta import DeltaRequest, DeltaResponse
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.version import BUILD
from protowire import entries, fields, number, sub

KUMA_RESOURCE = "type.googleapis.com/kuma.mesh.v1alpha1.KumaResource"


def resource(type_: str, nth: int = 0, **change: Any) -> Resource:
    documents = [each for each in DOCUMENTS if each.get("type") == type_]
    return from_rest({**documents[nth], **change})


def told(*resources: Resource, removed: tuple[str, ...] = (), nonce: str = "7") -> bytes:
    type_ = resources[0].type if resources else "Mesh"
    encoded = tuple(encode_resource(each) for each in resources)
    return encode_response(DeltaResponse(type_, nonce, encoded, removed), "global")


def test_a_response_has_kumas_numbers() -> None:
    dataplane = resource("Dataplane")
    encoded = encode_resource(dataplane)
    data = told(dataplane, removed=("gone.default",))
    assert sub(data, 4) == b"Dataplane"
    assert sub(data, 5) == b"7"
    assert sub(data, 6) == b"gone.default"
    assert sub(data, 7, 1) == b"global"
    item = sub(data, 2)
    assert (sub(item, 1).decode(), sub(item, 3)) == (encoded.version, b"a.default")
    assert sub(item, 2, 1).decode() == KUMA_RESOURCE
    kuma = sub(item, 2, 2)
    assert (sub(kuma, 1, 1), sub(kuma, 1, 2), 5 in fields(sub(kuma, 1))) == (b"a", b"default", False)
    assert entries(sub(kuma, 1), 6) == {"team": b"x"}
    assert sub(kuma, 2, 1) == b"type.googleapis.com/kuma.mesh.v1alpha1.Dataplane"
    assert 3 not in fields(kuma)


def test_a_dataplane_has_kumas_numbers() -> None:
    spec = sub(encode_resource(resource("Dataplane")).body, 2, 2)
    networking = sub(spec, 1)
    assert (sub(networking, 5), sub(networking, 7)) == (b"192.168.0.1", b"10.0.0.1")
    assert number(networking, 8, 1) == 9901
    inbound = sub(networking, 1)
    assert entries(inbound, 2)["kuma.io/service"] == b"web"
    assert (number(inbound, 3), number(inbound, 4), number(inbound, 9)) == (8080, 80, 1)
    assert (number(inbound, 8, 1, 1), number(inbound, 8, 2, 1), sub(inbound, 8, 5)) == (1, 2, b"")
    assert (number(networking, 2, 4), entries(sub(networking, 2), 5)) == (9000, {"kuma.io/service": b"db"})
    assert (sub(spec, 2, 1), sub(spec, 2, 2)) == (b"p", b"prometheus")
    assert (number(spec, 3, 1), number(spec, 3, 2, 1), sub(spec, 3, 2, 3)) == (9000, 1, b"/8080")


def test_other_types_have_kumas_numbers() -> None:
    mesh = sub(encode_resource(resource("Mesh")).body, 2, 2)
    assert (sub(mesh, 1, 1), sub(mesh, 1, 2, 1), number(mesh, 1, 2, 5)) == (b"ca-1", b"ca-1", 1)
    assert (sub(mesh, 1, 2, 3, 1, 1), number(mesh, 1, 2, 3, 2, 1)) == (b"1d", 10)
    assert sub(mesh, 5, 1, 1) == b""  # a wrapper that holds false
    secret = sub(encode_resource(resource("Secret")).body, 2, 2)
    assert sub(secret, 1, 1) == b"not-to-be-shown"
    service = {"tags": {"kuma.io/service": "web"}, "instances": 2, "mesh": "default"}
    ingress = resource("ZoneIngress", zone="east", availableServices=[service])
    spec = sub(encode_resource(ingress).body, 2, 2)
    assert (sub(spec, 1), sub(spec, 2, 1), number(spec, 2, 3)) == (b"east", b"10.0.0.1", 10001)
    assert (number(spec, 3, 2), sub(spec, 3, 3)) == (2, b"default")
    assert entries(sub(spec, 3), 1) == {"kuma.io/service": b"web"}
    assert encode_resource(ingress).name == "i."


# Its generated modules use a form of validator that newer pydantic versions warn of when they are imported.
@pytest.mark.filterwarnings("ignore:Using `@model_validator`:DeprecationWarning")
def test_a_second_decoder_reads_the_same() -> None:
    discovery = importlib.import_module("envoy_data_plane.envoy.service.discovery.v3")
    data = told(resource("Mesh", 0), resource("Mesh", 1), removed=("x.",))
    first, second = DeltaDiscoveryResponse.FromString(data), discovery.DeltaDiscoveryResponse.parse(data)
    assert second.type_url == "Mesh"
    assert second.removed_resources == ["x."]
    assert second.control_plane is not None
    assert second.control_plane.identifier == "global"
    assert [item.name for item in second.resources] == ["default.", "m."]
    for one, other in zip(first.resources, second.resources, strict=True):
        assert other.resource is not None
        assert one.resource.value == other.resource.value
        assert other.version == one.version


def test_versions_tell_content_and_nothing_else() -> None:
    one, same, other = resource("Mesh"), resource("Mesh"), resource("Mesh", labels={"a": "b"})
    assert encode_resource(one) == encode_resource(same)
    assert encode_resource(one).version != encode_resource(other).version


def test_a_response_there_and_back() -> None:
    secrets = (resource("Secret"), resource("Secret", name="b.c"))
    back = decode_response(told(*secrets, removed=("d.e.default",)))
    assert back == Received(
        type="Secret",
        nonce="7",
        resources=tuple(Resource(each.key, each.spec, each.labels) for each in secrets),
        removed=(ResourceKey("Secret", "default", "d.e"),),
        control_plane="global",
    )


def test_names_of_global_types_end_in_a_dot() -> None:
    back = decode_response(told(resource("Mesh"), removed=("old.mesh.",)))
    assert back.resources[0].key == ResourceKey("Mesh", "", "default")
    assert back.removed == (ResourceKey("Mesh", "", "old.mesh"),)


def test_what_cannot_be_read_is_left_out_and_named() -> None:
    bad = resource("ZoneIngress", name="bad")
    broken = Resource(bad.key, bad.spec.model_copy(update={"networking": type(bad.spec.networking)()}))
    message = DeltaDiscoveryResponse.FromString(told(resource("ZoneIngress"), broken))
    message.resources.add(name="alien.").resource.type_url = "type.googleapis.com/x.Y"
    back = decode_response(message.SerializeToString())
    assert [each.name for each in back.resources] == ["i"]
    assert back.unread == {ResourceKey("ZoneIngress", "", "bad"), ResourceKey("ZoneIngress", "", "alien")}
    assert back.invalid[0].startswith('ZoneIngress "bad." networking.port: ')
    assert back.invalid[1] == 'ZoneIngress "alien." is not a KumaResource'


def test_a_type_that_is_not_stored_has_no_resources() -> None:
    message = DeltaDiscoveryResponse(type_url="MeshRetry", nonce="1", removed_resources=["nonsense"])
    message.resources.add(name="a.default")
    assert decode_response(message.SerializeToString()) == Received("MeshRetry", "1")


@pytest.mark.parametrize("name", ["", "nodot", ".mesh"])
def test_names_that_are_none_spoil_the_message(name: str) -> None:
    with pytest.raises(MalformedMessage, match="is no name of a resource"):
        decode_response(DeltaDiscoveryResponse(type_url="Mesh", removed_resources=[name]).SerializeToString())
    message = DeltaDiscoveryResponse(type_url="Mesh")
    message.resources.add(name=name)
    with pytest.raises(MalformedMessage, match="is no name of a resource"):
        decode_response(message.SerializeToString())


def test_bytes_that_are_no_message() -> None:
    with pytest.raises(MalformedMessage, match="not a DeltaDiscoveryResponse"):
        decode_response(b"\xff")
    with pytest.raises(MalformedMessage, match="not a DeltaDiscoveryRequest"):
        decode_request(b"\xff")


NODE = Node("east", BUILD.to_wire(), json.dumps({"mode": "zone"}), "cp-1", NODE_FEATURES)


def test_a_first_request_has_kumas_form() -> None:
    data = encode_request(DeltaRequest("Mesh", subscribe=("*",)), NODE)
    message = DeltaDiscoveryRequest.FromString(data)
    assert (message.type_url, list(message.resource_names_subscribe)) == ("Mesh", ["*"])
    assert (message.response_nonce, message.HasField("error_detail")) == ("", False)
    assert not message.initial_resource_versions
    assert message.node.id == "east"
    assert json_format.MessageToDict(message.node.metadata) == {
        "version": {"kumaCp": BUILD.to_wire()},
        "config": '{"mode": "zone"}',
        "control-plane-id": "cp-1",
        "features": sorted(NODE_FEATURES),
    }
    assert sub(data, 1, 1) == b"east"
    assert (sub(data, 2), sub(data, 3)) == (b"Mesh", b"*")


def test_an_ack_has_the_id_of_its_node_only() -> None:
    data = encode_request(DeltaRequest("Mesh", nonce="3"), Node("east"))
    assert {key: value for key, value in fields(data).items() if key != 1} == {2: [b"Mesh"], 6: [b"3"]}
    assert fields(sub(data, 1)) == {1: [b"east"]}


def test_a_nack_has_an_error_and_the_star() -> None:
    data = encode_request(DeltaRequest("Mesh", subscribe=("*",), nonce="3", error="no"), Node("east"))
    assert (sub(data, 3), sub(data, 6), sub(data, 7, 2)) == (b"*", b"3", b"no")


@pytest.mark.parametrize(
    "request_",
    [
        DeltaRequest("Mesh", subscribe=("*",)),
        DeltaRequest("Mesh", nonce="12"),
        DeltaRequest("Mesh", subscribe=("*",), nonce="12", error="Mesh is invalid"),
        DeltaRequest("Mesh", unsubscribe=("a.",), initial_versions={"a.": "1"}, nonce="1", error=""),
    ],
)
def test_requests_there_and_back(request_: DeltaRequest) -> None:
    assert decode_request(encode_request(request_, NODE)) == (request_, NODE)
    assert decode_request(encode_request(request_, Node("east"))) == (request_, Node("east"))


def test_a_node_that_says_nonsense_is_read_as_far_as_it_goes() -> None:
    message = DeltaDiscoveryRequest(type_url="Mesh")
    assert decode_request(message.SerializeToString())[1] == Node("")
    odd: dict[str, Any] = {"version": 3, "config": [], "control-plane-id": None, "features": ["a", 5, {}]}
    json_format.ParseDict({"id": "x", "metadata": odd}, message.node)
    assert decode_request(message.SerializeToString())[1] == Node("x", features=frozenset({"a"}))
    json_format.ParseDict({"version": {"kumaCp": {"version": "2.13.0", "gitTag": 1}}}, message.node.metadata)
    assert decode_request(message.SerializeToString())[1].version == {"version": "2.13.0"}


def test_error_texts_are_cut() -> None:
    request, _ = decode_request(encode_request(DeltaRequest("Mesh", nonce="1", error="x" * 100_000), NODE))
    assert request.error is not None
    assert len(request.error) == 4_096
