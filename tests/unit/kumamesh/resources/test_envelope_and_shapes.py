"""The envelope of documents, and the three shapes they may have (kuma-cp 0.2 C1, 2.0; contract 9.2)."""

from __future__ import annotations

import copy
from datetime import UTC, datetime
from typing import Any

import pytest

from kumamesh.resource import NEVER, InvalidResource, Resource, ResourceKey
from kumamesh.resources.rest import from_rest, to_rest
from kumamesh.resources.secret import Secret
from kumamesh.resources.zone import Zone
from resource_documents import dataplane, document, violations

NAME_CHARS = (
    "invalid characters. Valid characters are numbers, lowercase latin letters and '-', '_', '.' symbols."
)
DOTS = "must not be . or .., which mean something else in the path of a URL"
SELECTED = {"match": {"kuma.io/service": "*"}}
PERMISSION = {"sources": [SELECTED], "destinations": [SELECTED]}
POLICY = {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]}


@pytest.mark.parametrize(
    ("type_", "body"), [("TrafficPermission", PERMISSION), ("MeshTrafficPermission", POLICY)]
)
def test_flat_nested_and_kubernetes_shapes_mean_the_same(type_: str, body: dict[str, Any]) -> None:
    flat = from_rest(document(type_, labels={"team": "a"}, **body))
    nested = from_rest(document(type_, labels={"team": "a"}, spec=body))
    kubernetes = from_rest(
        {
            "apiVersion": "kuma.io/v1alpha1",
            "kind": type_,
            "mesh": "default",
            "metadata": {"name": "a", "namespace": "kuma-system", "uid": "1", "labels": {"team": "a"}},
            "spec": body,
        }
    )
    assert flat == nested == kubernetes
    assert flat.key == ResourceKey(type_, "default", "a")
    assert flat.labels == {"team": "a"}


@pytest.mark.parametrize("place", ["labels", "annotations"])
def test_the_kubernetes_shape_may_name_the_mesh_in_its_metadata(place: str) -> None:
    body = {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "TrafficPermission",
        "metadata": {"name": "a", place: {"kuma.io/mesh": "other"}},
        "spec": PERMISSION,
    }
    assert from_rest(body).mesh == "other"


def test_the_kubernetes_shape_keeps_the_time_of_creation() -> None:
    body = {
        "apiVersion": "kuma.io/v1alpha1",
        "kind": "Zone",
        "metadata": {"name": "a", "creationTimestamp": "2026-01-02T03:04:05Z"},
    }
    assert from_rest(body).creation_time == datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_another_api_version_is_refused() -> None:
    body = {"apiVersion": "v1", "kind": "Zone", "metadata": {"name": "a"}}
    assert violations(body) == [("apiVersion", 'must be "kuma.io/v1alpha1"')]


def test_an_unknown_type_is_told_which_ones_can_be_written() -> None:
    ((field, message),) = violations({"type": "Xyzzy", "name": "a"})
    assert field == "type"
    assert message.startswith('unknown resource type "Xyzzy"; known are Mesh, Dataplane, ')
    assert "Insight" not in message


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            {"name": "a"},
            [("type", "cannot be empty")],
        ),
        ({"type": 5, "name": "a"}, [("type", "must be a string")]),
        (
            {"type": "dataplan", "name": "a"},
            [("type", 'unknown resource type "dataplan"; did you mean "Dataplane"?')],
        ),
        (
            {"type": "dataplane", "name": "a"},
            [("type", 'unknown resource type "dataplane"; did you mean "Dataplane"?')],
        ),
        ({"type": "Zone"}, [("name", "cannot be empty")]),
        ({"type": "Zone", "name": ""}, [("name", "cannot be empty")]),
        ({"type": "Zone", "name": 7}, [("name", "must be a string; put it in quotes")]),
        ({"type": "Zone", "name": "a" * 254}, [("name", "value length must less or equal 253")]),
        ({"type": "Zone", "name": "A b"}, [("name", NAME_CHARS)]),
        ({"type": "Zone", "name": "a\n"}, [("name", NAME_CHARS)]),
        ({"type": "Zone", "name": ".."}, [("name", DOTS)]),
        ({"type": "Secret", "name": "a", "mesh": "."}, [("mesh", DOTS)]),
        ({"type": "Mesh", "name": "a" * 64}, [("name", "cannot be longer than 63 characters")]),
        ({"type": "Secret", "name": "a"}, [("mesh", "cannot be empty")]),
        ({"type": "Secret", "name": "a", "mesh": "B"}, [("mesh", NAME_CHARS)]),
        ({"type": "Zone", "name": "a", "labels": ["x"]}, [("labels", "must be an object")]),
        (
            {"type": "Zone", "name": "a", "labels": {"x": 1, 2: "y", "": "z"}},
            [
                ('labels["x"]', "must be a string; put it in quotes"),
                ("labels", "the key 2 must be a string; put it in quotes"),
                ("labels", "label name must be non-empty"),
            ],
        ),
        (
            {"type": "Zone", "name": "a", "creationTime": "yesterday", "modificationTime": 5},
            [
                ("creationTime", "must be an RFC 3339 time"),
                ("modificationTime", "must be an RFC 3339 time"),
            ],
        ),
        ({"type": "Zone", "name": "a", "spec": [1]}, [("spec", "must be an object")]),
        (
            {"type": "Zone", "name": "a", "lables": {}},
            [("lables", 'unknown field; did you mean "labels"?')],
        ),
        (
            {"type": "Zone", "name": "a", "spec": {"enabld": True}, "enabled": True, "nme": "b"},
            [
                ("enabled", 'has to be under "spec", where the other fields are'),
                ("nme", 'unknown field; did you mean "name"?'),
                ("spec.enabld", 'unknown field; did you mean "enabled"?'),
            ],
        ),
        (["Zone"], [("", "a resource must be an object")]),
    ],
)
def test_a_broken_envelope_is_told(body: Any, expected: list[tuple[str, str]]) -> None:
    assert violations(body) == expected


@pytest.mark.parametrize("name", ["a", "a.b-c_d", "0", "a" * 253, "-"])
def test_the_old_charset_of_names_is_accepted(name: str) -> None:
    assert from_rest({"type": "Zone", "name": name}).name == name


def test_envelope_and_body_are_told_together() -> None:
    told = violations({**dataplane(address=None), "name": "A", "mesh": ""})
    assert [field for field, _ in told] == ["name", "mesh", "networking.address"]


def test_the_url_fills_what_the_body_leaves_out() -> None:
    key = ResourceKey("Zone", "", "zone-1")
    assert from_rest({}, key=key) == Resource(key, Zone())


def test_the_url_and_the_body_must_agree() -> None:
    key = ResourceKey("Dataplane", "other", "b")
    assert violations(dataplane(), key=key) == [
        ("name", "name from the URL has to be the same as in body"),
        ("mesh", "mesh from the URL has to be the same as in body"),
    ]
    assert violations({**dataplane(), "type": "Zone"}, key=ResourceKey("Dataplane", "default", "a"))[0] == (
        "type",
        "type from the URL has to be the same as in body",
    )


def test_a_mesh_on_a_type_of_global_scope_says_nothing() -> None:
    assert from_rest({"type": "Zone", "name": "a", "mesh": "default"}).mesh == ""


def test_the_document_has_the_envelope_first_and_no_empty_parts() -> None:
    body = {**dataplane(admin=None, outbound=[], gateway=None), "labels": {"b": "1"}}
    assert list(to_rest(from_rest(body)).items()) == [
        ("type", "Dataplane"),
        ("mesh", "default"),
        ("name", "a"),
        ("labels", {"b": "1"}),
        ("creationTime", "0001-01-01T00:00:00Z"),
        ("modificationTime", "0001-01-01T00:00:00Z"),
        (
            "networking",
            {"address": "192.168.0.1", "inbound": [{"port": 8080, "tags": {"kuma.io/service": "backend"}}]},
        ),
    ]


def test_a_policy_keeps_its_body_under_spec() -> None:
    shown = to_rest(from_rest(document("MeshTrafficPermission", **POLICY)))
    assert shown["spec"] == POLICY
    assert "from" not in shown


def test_times_are_kept_and_come_out_in_utc() -> None:
    body = {
        "type": "Zone",
        "name": "a",
        "creationTime": "2026-01-02T03:04:05.123456789+02:00",
        "modificationTime": "2026-01-02T03:04:05Z",
    }
    shown = to_rest(from_rest(body))
    assert shown["creationTime"] == "2026-01-02T01:04:05.123456Z"
    assert shown["modificationTime"] == "2026-01-02T03:04:05Z"
    assert from_rest({"type": "Zone", "name": "a", "creationTime": None}).creation_time == NEVER


def test_what_a_control_plane_adds_may_be_sent_back() -> None:
    body = {**document("MeshTrafficPermission", spec=POLICY), "kri": "kri_mtp_default___a_", "status": {}}
    assert from_rest(body).name == "a"


def test_a_document_is_not_changed_by_reading_it() -> None:
    body = {**dataplane(outbound=None), "labels": {"a": "b"}, "metrics": None}
    before = copy.deepcopy(body)
    from_rest(body)
    assert body == before


def test_no_secret_is_repeated_in_errors_or_reprs() -> None:
    with pytest.raises(InvalidResource) as caught:
        from_rest(document("Secret", data="not base64: hunter2", dta="hunter2"))
    assert "hunter2" not in f"{caught.value!s} {caught.value!r} {caught.value.violations}"
    assert "hunter2" not in repr(Resource(ResourceKey("Secret", "default", "a"), Secret(data=b"hunter2")))
