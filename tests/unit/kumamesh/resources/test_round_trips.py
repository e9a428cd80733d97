"""Whatever a model can hold survives JSON; whatever a resource can hold survives REST."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.base import Spec
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest, spec_from_json, spec_to_json, to_kubernetes, to_rest
from resource_documents import dataplane, document

_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)
_JSON_LEAF = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | _TEXT
_TIMES = st.datetimes(datetime(1, 1, 2), datetime(9998, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
_DURATIONS = st.sampled_from(["0s", "1h30m", "250ms", "10d"])
_PLAIN: dict[Any, st.SearchStrategy[Any]] = {
    str: _TEXT,
    int: st.integers(0, 2**32 - 1),
    bool: st.booleans(),
    float: st.floats(0, 100),
    bytes: st.binary(max_size=8),
    datetime: _TIMES,
    Any: _JSON_LEAF | st.lists(_JSON_LEAF, max_size=2) | st.dictionaries(_TEXT, _JSON_LEAF, max_size=2),
    NoneType: st.none(),
}


def _values(annotation: Any, metadata: tuple[Any, ...] = ()) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _values(arguments[0], arguments[1:])
    if any(getattr(getattr(item, "func", None), "__name__", "") == "_duration" for item in metadata):
        return _DURATIONS
    if annotation in _PLAIN:
        return _PLAIN[annotation]
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return _specs(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping:
        return st.dictionaries(_TEXT, _values(arguments[1]), max_size=2)
    return st.one_of([_values(argument) for argument in arguments])


def _specs(model: type[Spec]) -> st.SearchStrategy[Spec]:
    fields = {
        name: _values(field.annotation, tuple(field.metadata)) for name, field in model.model_fields.items()
    }
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: model(**values))


@pytest.mark.parametrize("type_", TYPES)
@settings(max_examples=30)
@given(data=st.data())
def test_every_model_survives_json(type_: str, data: st.DataObject) -> None:
    spec = data.draw(_specs(TYPES[type_].spec))
    text = json.dumps(spec_to_json(spec))
    assert spec_from_json(type_, json.loads(text)) == spec


_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9._]{0,6}[a-z0-9])?", fullmatch=True)
_LABELS = st.dictionaries(_TEXT.filter(bool), _TEXT, max_size=2)
_TAG_MAPS = st.dictionaries(_NAMES, _NAMES, max_size=2)


@st.composite
def _dataplanes(draw: st.DrawFn) -> dict[str, Any]:
    ports = st.integers(1, 65535)
    tags = draw(_TAG_MAPS) | {"kuma.io/service": draw(_NAMES)}
    inbounds = [
        {"port": draw(ports), "servicePort": str(draw(ports)), "tags": tags, "state": state}
        for state in draw(st.lists(st.sampled_from(["Ready", "NotReady"]), min_size=1, max_size=3))
    ]
    outbounds = [{"port": draw(ports), "tags": tags} for _ in range(draw(st.integers(0, 3)))]
    return dataplane(inbound=inbounds, outbound=outbounds, admin=draw(st.none() | st.just({})))


_DOCUMENTS = st.one_of(
    _dataplanes(),
    st.builds(lambda data: document("Secret", data=data), st.sampled_from(["", "aGk=", "_w=="])),
    st.builds(lambda value: document("Zone", spec={"enabled": value}), st.none() | st.booleans()),
    st.builds(
        lambda tags: document("TrafficPermission", sources=[{"match": tags}], destinations=[{"match": tags}]),
        st.dictionaries(_NAMES, st.just("*") | _NAMES, min_size=1, max_size=2),
    ),
    st.builds(
        lambda service, tls: document(
            "ExternalService",
            tags={"kuma.io/service": service},
            networking={"address": "httpbin.example:443", "tls": tls, "disableHostDNSEntry": True},
        ),
        _NAMES,
        st.fixed_dictionaries(
            {"enabled": st.booleans()},
            optional={
                "caCert": st.just({"secret": "ca"}),
                "clientKey": st.just({"inlineString": "key"}),
                "clientCert": st.just({"inline": "aGk="}),
                "serverName": st.just("httpbin"),
                "allowRenegotiation": st.booleans(),
                "skipHostnameVerification": st.booleans(),
            },
        ),
    ),
    st.builds(
        lambda action: document(
            "MeshTrafficPermission",
            spec={"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": action}}]},
        ),
        st.sampled_from(["Allow", "Deny", "AllowWithShadowDeny"]),
    ),
    st.builds(
        lambda name, mode: document(
            "Mesh",
            mtls={"enabledBackend": name, "backends": [{"name": name, "type": "builtin", "mode": mode}]},
        ),
        _NAMES,
        st.sampled_from(["STRICT", "PERMISSIVE"]),
    ),
)


@given(body=_DOCUMENTS, name=_NAMES, labels=_LABELS, time=_TIMES)
def test_every_resource_survives_rest(
    body: dict[str, Any], name: str, labels: dict[str, str], time: datetime
) -> None:
    read = from_rest({**body, "name": name, "labels": labels})
    resource = Resource(read.key, read.spec, labels, time, time)
    text = json.dumps(to_rest(resource))
    assert from_rest(json.loads(text)) == resource


@given(data=st.data(), labels=_LABELS)
def test_insights_survive_rest(data: st.DataObject, labels: dict[str, str]) -> None:
    type_ = data.draw(st.sampled_from([type_ for type_ in TYPES.values() if type_.read_only]))
    key = ResourceKey(type_.name, "default" if type_.mesh_scoped else "", "a")
    resource = Resource(key, data.draw(_specs(type_.spec)), labels)
    assert from_rest(json.loads(json.dumps(to_rest(resource)))) == resource


@given(_DOCUMENTS, st.dictionaries(_NAMES, _NAMES, max_size=2))
def test_the_shape_of_kubernetes_keeps_every_resource(body: dict[str, Any], labels: dict[str, str]) -> None:
    resource = from_rest({**body, "labels": labels})
    assert from_rest(json.loads(json.dumps(to_kubernetes(resource)))) == resource


def test_the_shape_of_kubernetes_keeps_mesh_label_and_time_of_creation() -> None:
    labels = {"kuma.io/mesh": "default", "k8s.kuma.io/namespace": "demo"}
    time = {"creationTime": "2026-01-02T03:04:05Z"}
    proxy = from_rest(dataplane() | {"labels": labels} | time)
    shown = to_kubernetes(proxy)
    assert shown["metadata"]["namespace"] == "demo"
    assert to_kubernetes(proxy, "other")["metadata"]["namespace"] == "other"
    assert from_rest(shown) == proxy
