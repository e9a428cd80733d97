"""Every type that flows comes out of its bytes as it went in."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.any_pb2 import Any as ProtoAny
from hypothesis import given, settings
from hypothesis import strategies as st

from fuzz_resources import DOCUMENTS
from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.messages import MalformedMessage
from kumacp.kds.protocol.payload import Unreadable, read_resource, write_resource
from kumacp.kds.wire.kds_pb2 import KumaResource
from kumamesh.durations import parse_duration
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking, ServiceProbe, TransparentProxying
from kumamesh.resources.mesh import Mesh, Mtls, MtlsBackend, RootChain
from kumamesh.resources.registry import TYPES, ResourceType
from kumamesh.resources.rest import from_rest, spec_to_json
from kumamesh.resources.secret import Secret
from spec_strategies import TEXT, specs

FLOWING = sorted(name for name in TYPES if FLOWS[name].to_some_zone or FLOWS[name].to_global)
LABELS = st.dictionaries(TEXT.filter(bool), TEXT, max_size=3)


def without_rules(type_: str) -> ResourceType:
    return replace(TYPES[type_], rules=lambda _: iter(()))


def resource_of(type_: str, spec: Any, labels: dict[str, str] | None = None) -> Resource:
    mesh = "default" if TYPES[type_].mesh_scoped else ""
    return Resource(ResourceKey(type_, mesh, "some.name-1"), spec, labels or {})


@pytest.mark.parametrize("type_", FLOWING)
def test_any_spec_survives(type_: str) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True)
    @given(specs(TYPES[type_].spec), LABELS)
    def check(spec: Any, labels: dict[str, str]) -> None:
        resource = resource_of(type_, spec, labels)
        data = write_resource(resource)
        back = read_resource(without_rules(type_), data).resource
        assert back == resource
        assert write_resource(back) == data
        # Numbers of a Struct stay whole, which == does not tell.
        assert json.dumps(spec_to_json(back.spec), sort_keys=True) == json.dumps(
            spec_to_json(spec), sort_keys=True
        )

    check()


@pytest.mark.parametrize(
    "document",
    [each for each in DOCUMENTS if each.get("type", "") in FLOWING],
    ids=lambda document: document["type"],
)
def test_what_people_write_survives_with_the_rules_of_its_type(document: dict[str, Any]) -> None:
    resource = from_rest(document)
    back = read_resource(TYPES[resource.type], write_resource(resource)).resource
    assert (back.key, back.spec, back.labels) == (resource.key, resource.spec, resource.labels)


@pytest.mark.parametrize(
    ("text", "wire"), [("5m", "300s"), ("1d", "86400s"), ("250ms", "0.250s"), ("1h0m0.5s", "3600.500s")]
)
def test_durations_travel_in_seconds(text: str, wire: str) -> None:
    backend = MtlsBackend(name="b", type="builtin", root_chain=RootChain(request_timeout=text))
    probe = ServiceProbe(interval=text)
    mesh = read_resource(
        without_rules("Mesh"), write_resource(resource_of("Mesh", Mesh(mtls=Mtls(backends=(backend,)))))
    ).resource
    dataplane = read_resource(
        without_rules("Dataplane"),
        write_resource(
            resource_of(
                "Dataplane", Dataplane(networking=Networking(inbound=(Inbound(service_probe=probe),)))
            )
        ),
    ).resource
    found = mesh.spec.mtls.backends[0].root_chain.request_timeout
    assert found == dataplane.spec.networking.inbound[0].service_probe.interval == wire
    assert parse_duration(found) == parse_duration(text)


def test_newer_types_are_json_that_names_no_type() -> None:
    document = next(each for each in DOCUMENTS if each.get("type") == "MeshTrafficPermission")
    resource = from_rest(document)
    spec = KumaResource.FromString(write_resource(resource)).spec
    assert spec.type_url == ""
    assert json.loads(spec.value) == spec_to_json(resource.spec)


def test_global_secrets_are_secrets_on_the_wire() -> None:
    data = write_resource(resource_of("GlobalSecret", TYPES["GlobalSecret"].spec(data=b"x")))
    assert KumaResource.FromString(data).spec.type_url == "type.googleapis.com/kuma.system.v1alpha1.Secret"


def test_what_does_not_fit_the_wire_is_told_by_name() -> None:
    wide = TransparentProxying(redirect_port_inbound=2**32)
    spec = Dataplane(networking=Networking(transparent_proxying=wide))
    with pytest.raises(MalformedMessage, match=r"Dataplane 'some.name-1' cannot be told .*: .*redirectPort"):
        write_resource(resource_of("Dataplane", spec))
    with pytest.raises(MalformedMessage, match=r"^Dataplane 'some.name-1' cannot be told") as caught:
        write_resource(resource_of("Dataplane", Dataplane(), {"half": "\ud800"}))
    assert "\n" not in str(caught.value)


def test_secrets_that_do_not_fit_are_not_quoted() -> None:
    with pytest.raises(MalformedMessage) as caught:
        write_resource(resource_of("Secret", Secret(data=b"x"), {"half": "hidden\ud800"}))
    assert str(caught.value) == "Secret 'some.name-1' cannot be told to other control planes"


def unreadable(type_: str, **change: Any) -> str:
    """What is said of a resource that is like a good one but for the change."""
    good = {
        "meta": KumaResource.Meta(name="a", mesh="default"),
        "spec": ProtoAny(type_url="type.googleapis.com/kuma.mesh.v1alpha1.Dataplane"),
    }
    with pytest.raises(Unreadable) as caught:
        read_resource(TYPES[type_], KumaResource(**(good | change)).SerializeToString())
    return str(caught.value)


def test_what_cannot_be_taken_in_is_told_with_its_reason() -> None:
    meta, url = KumaResource.Meta, "type.googleapis.com/kuma.mesh.v1alpha1.Dataplane"
    assert unreadable("Dataplane", meta=meta(name="", mesh="default")) == "name: cannot be empty"
    assert unreadable("Dataplane", meta=meta(name="a")) == "mesh: cannot be empty"
    assert unreadable("Dataplane", meta=meta(name="A b", mesh="default")).startswith("name: ")
    assert unreadable("Dataplane", meta=meta(name="a", mesh="default", labels={"": "x"})).startswith(
        "labels: "
    )
    assert unreadable("Dataplane", spec=None) == "has no spec"
    assert unreadable("Dataplane", spec=ProtoAny(type_url=url, value=b"\xff")).startswith(
        "spec: is not a kuma"
    )
    assert unreadable("Mesh") == (
        "spec: is of type 'type.googleapis.com/kuma.mesh.v1alpha1.Dataplane', not kuma.mesh.v1alpha1.Mesh"
    )
    assert unreadable("Dataplane").startswith("networking: must be ")
    assert unreadable("MeshTrafficPermission").endswith("not JSON")
    for text in (b"", b"[", b"\xff", b'"\\ud800"', b'{"a":' * 10_000):
        assert unreadable("MeshTrafficPermission", spec=ProtoAny(value=text)) == "spec: is not JSON"
    assert unreadable("MeshTrafficPermission", spec=ProtoAny(value=b"[]")) == "spec: must be an object"
    both_wrong = ProtoAny(value=b'{"form": [], "from": 1}')
    assert unreadable("MeshTrafficPermission", spec=both_wrong) == "from: must be a list"


def test_fields_of_later_versions_are_passed_over() -> None:
    resource = from_rest(next(each for each in DOCUMENTS if each.get("type") == "Dataplane"))
    message = KumaResource.FromString(write_resource(resource))
    message.spec.value += b"\xa2\x06\x03new"  # field 100
    assert read_resource(TYPES["Dataplane"], message.SerializeToString()).resource.spec == resource.spec


def json_resource(type_: str, mesh: str, spec: dict[str, Any]) -> bytes:
    message = KumaResource(meta=KumaResource.Meta(name="x", mesh=mesh), spec=ProtoAny())
    message.spec.value = json.dumps(spec).encode()
    return message.SerializeToString()


def test_a_policy_of_a_later_version_is_taken_without_what_is_new_in_it() -> None:
    known = {"targetRef": {"kind": "Mesh"}, "from": [{"targetRef": {"kind": "Mesh"}, "default": {}}]}
    known["from"][0]["default"]["action"] = "Allow"  # type: ignore[index]
    later = {**known, "form": [1], "targetRef": {"kind": "Mesh", "planet": "earth"}}
    type_ = TYPES["MeshTrafficPermission"]
    read = read_resource(type_, json_resource(type_.name, "default", later))
    assert spec_to_json(read.resource.spec) == known
    assert sorted(read.passed_over) == ["form", "targetRef.planet"]
    assert read_resource(type_, json_resource(type_.name, "default", known)).passed_over == ()


def test_what_says_nothing_without_its_new_fields_is_refused() -> None:
    """Passed over or not, no rule may be left that allows and denies nothing."""
    spec = {"targetRef": {"kind": "Mesh"}, "rules": [{"default": {"later": [{"spiffeID": {}}]}}]}
    with pytest.raises(Unreadable, match=r"rules\[0\].*at least one of 'allow'"):
        read_resource(TYPES["MeshTrafficPermission"], json_resource("MeshTrafficPermission", "default", spec))


def test_a_mesh_is_taken_with_a_backend_that_can_do_more_than_is_known() -> None:
    conf = {"port": 5670, "path": "/metrics", "later": {"x": 1}}
    mesh = Mesh.model_validate(
        {"metrics": {"enabledBackend": "p", "backends": [{"name": "p", "type": "prometheus", "conf": conf}]}}
    )
    read = read_resource(TYPES["Mesh"], write_resource(resource_of("Mesh", mesh)))
    assert read.resource.spec == mesh
    assert read.passed_over == ("metrics.backends[0].conf.later",)
