"""The resource that the user gives: variables, type, identity."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.resource_template import parse_resource, parse_vars, render
from kumamesh.errors import UserError

DATAPLANE = """
type: Dataplane
mesh: demo
name: {{ name }}
networking:
  address: {{ address }}
  inbound: [{port: 8080, tags: {kuma.io/service: web}}]
"""


def test_variables_are_filled_in_without_escaping() -> None:
    text, warnings = render("a: {{ x }} {{{x}}} {{&x}} {{x}}", {"x": "<'&\">"}, "dp.yaml")
    assert text == "a: <'&\"> <'&\"> <'&\"> <'&\">"
    assert warnings == ()


def test_an_unknown_variable_is_named_with_its_remedy() -> None:
    with pytest.raises(UserError) as caught:
        render(DATAPLANE, {"name": "web-1", "adress": "x"}, "dp.yaml")
    assert str(caught.value) == (
        "dp.yaml: the variable address has no value; give it with --dataplane-var address=..."
        "; did you mean adress?"
    )


def test_an_unused_variable_is_a_warning() -> None:
    assert render("a: 1", {"b": "2"}, "dp.yaml")[1] == ("dp.yaml does not use the variable b",)


def test_a_value_with_braces_is_not_rendered_again() -> None:
    assert render("{{ a }}", {"a": "{{ b }}"}, "x")[0] == "{{ b }}"


def test_variables_are_key_value_pairs() -> None:
    assert parse_vars(["a=1", "b=x=y", "a=2", "c="]) == {"a": "2", "b": "x=y", "c": ""}
    with pytest.raises(UserError, match="'novalue' is not of the form key=value"):
        parse_vars(["novalue"])


def test_identity_and_admin_port_are_read() -> None:
    text, _ = render(DATAPLANE, {"name": "web-1", "address": "127.0.0.1"}, "dp.yaml")
    resource = parse_resource(text, "dataplane", "dp.yaml")
    assert (resource.mesh, resource.name, resource.admin_port) == ("demo", "web-1", 0)
    moved = resource.with_admin_port(9911)
    assert moved.admin_port == 9911
    wire = json.loads(moved.to_wire())
    assert wire["networking"]["admin"] == {"port": 9911}
    assert wire["networking"]["address"] == "127.0.0.1"
    assert wire["creationTime"] == "0001-01-01T00:00:00Z"
    assert resource.admin_port == 0


def test_a_nested_spec_is_edited_where_it_is() -> None:
    text = "{type: Dataplane, name: a, spec: {networking: {address: 1.2.3.4}}}"
    wire = json.loads(parse_resource(text, "dataplane", "x").with_admin_port(9911).to_wire())
    assert wire["spec"] == {"networking": {"address": "1.2.3.4", "admin": {"port": 9911}}}
    assert wire["mesh"] == "default"


@pytest.mark.parametrize(
    ("proxy_type", "kind"), [("dataplane", "Dataplane"), ("ingress", "ZoneIngress"), ("egress", "ZoneEgress")]
)
def test_the_type_must_fit_the_proxy_type(proxy_type: str, kind: str) -> None:
    text = f"{{type: {kind}, name: a, mesh: m, networking: {{address: 127.0.0.1, port: 10001}}}}"
    resource = parse_resource(text, proxy_type, "x")
    assert resource.mesh == ("m" if proxy_type == "dataplane" else "")
    with pytest.raises(UserError, match=f"--proxy-type={proxy_type} needs {kind}"):
        parse_resource("{type: Mesh, name: a}", proxy_type, "x")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("type: Dataplane\nname: a\n---\ntype: Dataplane\nname: b\n", "one resource is needed, this has 2"),
        ("name: a", "the type is missing"),
        ("type: Dataplane", "the resource needs a name"),
        ("{type: Dataplane, name: a, networking: 5}", "networking must be a mapping"),
        ("type: [", r"dp\.yaml:\d+:\d+: "),
    ],
)
def test_bad_resources_are_refused_with_a_reason(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_resource(text, "dataplane", "dp.yaml")


def test_an_admin_of_a_wrong_form_is_left_for_the_control_plane() -> None:
    resource = parse_resource("{type: Dataplane, name: a, networking: {admin: 7}}", "dataplane", "x")
    assert resource.with_admin_port(9911) is resource


@given(st.text(), st.dictionaries(st.text(min_size=1), st.text()))
def test_rendering_never_fails_but_with_a_user_error(text: str, variables: dict[str, str]) -> None:
    try:
        rendered, _ = render(text, variables, "x")
    except UserError:
        return
    if "{{" not in text:
        assert rendered == text
