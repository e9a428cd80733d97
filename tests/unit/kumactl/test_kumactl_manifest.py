"""Texts with resources, in every form."""

import base64
import json

import pytest
import yaml

from kumactl.manifest import Source, read_manifest
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import MAX_DEPTH

BODIES = {
    "Mesh": {"mtls": {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin"}]}},
    "Dataplane": {
        "networking": {
            "address": "10.0.0.1",
            "inbound": [{"port": 80, "tags": {"kuma.io/service": "web", "version": "1"}}],
            "outbound": [{"port": 90, "tags": {"kuma.io/service": "api"}}],
        }
    },
    "TrafficPermission": {
        "sources": [{"match": {"kuma.io/service": "*"}}],
        "destinations": [{"match": {"kuma.io/service": "api"}}],
    },
    "MeshTrafficPermission": {
        "targetRef": {"kind": "Mesh"},
        "from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Deny"}}],
    },
    "Secret": {"data": base64.b64encode(b"abc").decode()},
    "GlobalSecret": {"data": base64.b64encode(b"abc").decode()},
    "Zone": {"enabled": False},
}
GLOBAL = ("Mesh", "GlobalSecret", "Zone")
LABELS = {"team": "a"}


def read(text, mesh="default", **variables):
    if not isinstance(text, str):
        text = yaml.safe_dump(text)
    return [entry.resource for entry in read_manifest(Source("file", text), variables, mesh)]


def forms(type_):
    """The flat, the spec and the Kubernetes form; of the last, with the mesh in each of its places."""
    mesh = {} if type_ in GLOBAL else {"mesh": "m"}
    head = {"type": type_, "name": "one", "labels": LABELS, **mesh}
    yield head | BODIES[type_]
    yield head | {"spec": BODIES[type_]}
    cluster = {"apiVersion": "kuma.io/v1alpha1", "kind": type_, "spec": BODIES[type_]}
    metadata = {"name": "one", "namespace": "kuma-system", "uid": "1", "resourceVersion": "2"}
    yield cluster | mesh | {"metadata": metadata | {"labels": LABELS, "annotations": {"a": "b"}}}
    if mesh:
        yield cluster | {"metadata": metadata | {"labels": LABELS | {"kuma.io/mesh": "m"}}}
        annotated = metadata | {"labels": LABELS, "annotations": {"kuma.io/mesh": "m"}}
        yield cluster | {"metadata": annotated}


@pytest.mark.parametrize("type_", BODIES)
def test_every_form_is_the_same_resource(type_):
    flat, *others = (read(form)[0] for form in forms(type_))
    assert (flat.type, flat.name, flat.labels) == (type_, "one", LABELS)
    assert flat.mesh == ("" if type_ in GLOBAL else "m")
    assert len(others) == (2 if type_ in GLOBAL else 4)
    for other in others:
        assert other == flat


def kubernetes_secret(type_="system.kuma.io/secret", **fields):
    metadata = {"name": "s", "namespace": "kuma-system", "labels": {"kuma.io/mesh": "m", "team": "a"}}
    data = {"value": base64.b64encode(b"abc").decode()}
    document = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": type_, "data": data}
    return document | fields


def test_secrets_of_kubernetes():
    flat = {"type": "Secret", "mesh": "m", "name": "s", "labels": LABELS, "data": "YWJj"}
    assert read(kubernetes_secret()) == read(flat)
    del flat["mesh"]
    assert read(kubernetes_secret("system.kuma.io/global-secret")) == read(flat | {"type": "GlobalSecret"})
    plain = kubernetes_secret(data={"value": "eA=="}, stringData={"value": "a b"})
    assert read(plain)[0].spec.data == b"a b"
    without_mesh = kubernetes_secret(metadata={"name": "s"})
    assert read(without_mesh, mesh="other")[0].mesh == "other"


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        (
            kubernetes_secret("Opaque"),
            "* type: must be system.kuma.io/secret or system.kuma.io/global-secret",
        ),
        (kubernetes_secret(data={}), "* data.value: cannot be empty"),
        (kubernetes_secret(data={"value": "no base64!"}), "* data.value: must be in base 64"),
        (kubernetes_secret(data=[]), "* data.value: cannot be empty"),
        (kubernetes_secret(metadata=None), "* name: "),
    ],
)
def test_wrong_secrets_of_kubernetes(document, problem):
    with pytest.raises(UserError) as refused:
        read(document)
    assert str(refused.value).startswith("file: Resource is not valid\n")
    assert problem in str(refused.value)
    assert "no base64!" not in str(refused.value)


@pytest.mark.parametrize("type_", ["Secret", "TrafficPermission", "MeshTrafficPermission"])
def test_resources_without_a_mesh_get_the_one_of_the_command(type_):
    flat = {"type": type_, "name": "one", **BODIES[type_]}
    metadata = {"name": "one"}
    cluster = {"apiVersion": "kuma.io/v1alpha1", "kind": type_, "metadata": metadata, "spec": BODIES[type_]}
    assert [each.mesh for each in (*read(flat, "m"), *read(cluster, "m"))] == ["m", "m"]


MESHES = [{"type": "Mesh", "name": "a"}, {"type": "Mesh", "name": "b"}]


@pytest.mark.parametrize(
    "text",
    [
        yaml.safe_dump_all(MESHES),
        "\n---\n---\n" + yaml.safe_dump_all(MESHES) + "---\n",
        json.dumps(MESHES),
        f"\n {json.dumps(MESHES, indent=1)}\n",
        yaml.safe_dump({"total": 2, "items": MESHES, "next": None}),
        json.dumps({"apiVersion": "v1", "kind": "List", "items": MESHES}),
        json.dumps([{"apiVersion": "kuma.io/v1alpha1", "kind": "MeshList", "items": MESHES}]),
    ],
)
def test_many_resources_in_one_text(text):
    assert [resource.name for resource in read(text)] == ["a", "b"]


def test_messages_name_the_source_and_which_document_is_meant():
    wrong = {"type": "Mesh", "name": "A!"}
    for text, place in (
        (yaml.safe_dump(wrong), "file"),
        (yaml.safe_dump_all([MESHES[0], wrong]), "file, document 2"),
        (json.dumps([*MESHES, wrong]), "file, document 3"),
        (json.dumps({"items": [MESHES[0], wrong]}), "file, item 2"),
        (yaml.safe_dump_all([MESHES[0], {"items": [wrong]}]), "file, document 2, item 1"),
    ):
        with pytest.raises(UserError) as refused:
            read(text)
        assert str(refused.value).startswith(f"{place}: Resource is not valid\n* name: ")


BOMB = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "\n".join(
    f"{name}: &{name} [{','.join([f'*{before}'] * 10)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("type: Mesh\n\tname: a", "file:2:1: "),
        ("type: Mesh\nname: a: b", "file:2:8: "),
        ("type: Mesh\nname: a\0", "file:2:8: the character #x0000 is not allowed"),
        ("- type: Mesh", "file:1:1: a document must be an object with type and name, not a list"),
        ("just text", "file:1:1: a document must be an object with type and name"),
        (BOMB, "more than 1,000,000 values"),
        ("a: &a [*a]", 'file:1:8: the alias "a" lies inside of what it repeats'),
        ("a: " + "[" * (MAX_DEPTH + 1), f"nested more than {MAX_DEPTH} levels deep"),
        ("[" * 100_000, f"file: nested more than {MAX_DEPTH} levels deep"),
        ('[{"type": "Mesh",}]', "file:1:18: not a list in JSON: "),
        ("[a, b]", "file:1:2: not a list in JSON: Expecting value"),
        ('[{"name": "a", "name": "b"}]', 'file: the key "name" is given twice in one object'),
        ("[NaN]", "file: NaN is no number in JSON"),
        ("[[]]", "file: a document must be an object with type and name"),
        ("items: [5]", "file, item 1: must be an object with type and name"),
        ("type: Mesh\nname: {{ n }}", "file:2: the variable n has no value"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}", '* apiVersion: must be "kuma.io/v1alpha1"'),
        ("apiVersion: [1]\nkind: {}", "* apiVersion: must be"),
        ("{apiVersion: kuma.io/v1alpha1, kind: Mesh, metadata: [1]}", "* name: "),
    ],
)
def test_wrong_texts_are_told_in_place(text, problem):
    with pytest.raises(UserError) as refused:
        read(text)
    assert problem in str(refused.value)
    assert str(refused.value).startswith("file")


def test_a_text_is_not_shown_by_accident():
    assert "secret" not in repr(Source("file", "secret"))
