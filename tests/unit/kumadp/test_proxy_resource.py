"""The resource that the user gives: variables, type, identity."""

from __future__ import annotations

import json

import pytest

from kumadp.proxy_resource import parse_resource
from kumamesh.errors import UserError
from kumamesh.template import render

DATAPLANE = """
type: Dataplane
mesh: demo
name: {{ name }}
networking:
  address: {{ address }}
  inbound: [{port: 8080, tags: {kuma.io/service: web}}]
"""


def test_identity_and_admin_port_are_read() -> None:
    text = render(DATAPLANE, {"name": "web-1", "address": "127.0.0.1"}, "dp.yaml").text
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


@pytest.mark.parametrize("port", ["99999", "-1", "true", "'9901'", "1.5", "[1]"])
def test_an_admin_port_that_is_none_is_refused(port: str) -> None:
    text = f"{{type: Dataplane, name: a, networking: {{admin: {{port: {port}}}}}}}"
    with pytest.raises(UserError, match=r"dp.yaml: networking.admin.port must be a number from 0 to 65535"):
        parse_resource(text, "dataplane", "dp.yaml")


@pytest.mark.parametrize("admin", ["{}", "{port: 0}", "{port: null}", "null"])
def test_an_admin_port_left_open_is_the_agents_to_choose(admin: str) -> None:
    text = f"{{type: Dataplane, name: a, networking: {{admin: {admin}}}}}"
    assert parse_resource(text, "dataplane", "dp.yaml").admin_port == 0
