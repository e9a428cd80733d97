"""Kuma's rules of VirtualOutbound, its shapes, and what its templates make (kuma-cp 2.8)."""

from __future__ import annotations

from typing import Any

import pytest

from kumamesh.resources.rest import from_rest, to_kubernetes, to_rest
from kumamesh.resources.virtual_outbound import TemplateParameter, VirtualOutboundConf
from resource_documents import Wrong, document, violations

SERVICE = {"name": "service", "tagKey": "kuma.io/service"}


def virtual(
    *, match: dict[str, str] | None = None, host: str = "foo.mesh", port: str = "80", parameters: Any = None
) -> dict[str, Any]:
    return document(
        "VirtualOutbound",
        selectors=[{"match": {"kuma.io/service": "*"} if match is None else match}],
        conf={"host": host, "port": port, "parameters": [SERVICE] if parameters is None else parameters},
    )


@pytest.mark.parametrize(
    "body",
    [
        virtual(match={"region": "eu", "kuma.io/service": "*"}),
        virtual(
            host="{{.service}}.mesh",
            port="{{ .port }}",
            parameters=[SERVICE, {"name": "port", "tagKey": "kuma.io/port"}],
        ),
        virtual(host="{{.service}}.{{.zone}}.mesh", parameters=[SERVICE, {"name": "zone"}]),
    ],
)
def test_what_kuma_takes_is_taken_and_given_back(body: dict[str, Any]) -> None:
    resource = from_rest(body)
    shown = to_rest(resource)
    assert {key: shown[key] for key in body} == body
    assert from_rest(to_kubernetes(resource)) == resource


def _pre(text: str) -> str:
    return f'template pre evaluation failed with error="{text}"'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            document("VirtualOutbound"),
            [("selectors", "must have at least one element"), ("conf", "has to be defined")],
        ),
        (virtual(match={}), [("selectors[0].match", "must have at least one tag")]),
        (
            virtual(match={"kuma.io/service": "", "region": ""}),
            [
                ('selectors[0].match["kuma.io/service"]', "tag value must be non-empty"),
                ('selectors[0].match["region"]', "tag value must be non-empty"),
            ],
        ),
        (virtual(host="", port=""), [(f"conf.{part}", "has to be defined") for part in ("host", "port")]),
        (
            virtual(host="foo.{{mesh"),
            [
                (
                    "conf.host",
                    _pre(
                        r"failed compiling gotemplate error=\"template: :1: function"
                        r" \\\"mesh\\\" not defined\""
                    ),
                )
            ],
        ),
        (
            virtual(host="{{.other}}.mesh"),
            [
                (
                    "conf.host",
                    _pre(
                        "evaluation of template with parameters didn't return a valid dns name"
                        r" result=\"<no value>.mesh\""
                    ),
                )
            ],
        ),
        (
            virtual(port="{{.port}}a", parameters=[{"name": "port", "tagKey": "service"}, SERVICE]),
            [
                (
                    "conf.port",
                    _pre(
                        "evaluation of template with parameters didn't evaluate to a parsable number"
                        r" result=\"1a\""
                    ),
                )
            ],
        ),
        (
            virtual(port="65536"),
            [
                (
                    "conf.port",
                    _pre(
                        "evaluation of template returned a port outside of the range [1..65535] result=65536"
                    ),
                )
            ],
        ),
        (
            virtual(parameters=[{"name": "port", "tagKey": "***"}, SERVICE]),
            [("conf.parameters[0].tagKey", "must be a valid tag name")],
        ),
        (
            virtual(parameters=[{"name": "_", "tagKey": "kuma.io/service"}]),
            [
                (
                    "conf.parameters[0].name",
                    "must consist of alphanumeric characters to be used as a gotemplate key",
                )
            ],
        ),
        (
            virtual(parameters=[SERVICE, {"name": "service"}]),
            [("conf.parameters[1].name", "name is already used")],
        ),
        (
            virtual(parameters=[SERVICE, {"name": "*"}]),
            [
                (
                    "conf.parameters[1].name",
                    "must be a valid tag name if you are not setting tagKey",
                ),
                (
                    "conf.parameters[1].name",
                    "must consist of alphanumeric characters to be used as a gotemplate key",
                ),
            ],
        ),
        (
            virtual(parameters=[{"name": "foo", "tagKey": "kuma.io/port"}]),
            [("conf.parameters", "must contain a parameter with kuma.io/service as a tagKey")],
        ),
    ],
)
def test_what_kuma_refuses_is_refused_in_its_words(body: dict[str, Any], expected: Wrong) -> None:
    assert violations(body) == expected


CONF = VirtualOutboundConf(
    host="{{.service}}.{{.v}}.mesh",
    port="{{.port}}",
    parameters=(
        TemplateParameter(name="service", tag_key="kuma.io/service"),
        TemplateParameter(name="v", tag_key="version"),
        TemplateParameter(name="port"),
    ),
)


def test_tags_become_a_name_and_a_port() -> None:
    tags = {"kuma.io/service": "backend", "version": "v1", "port": "+8080", "kuma.io/zone": "east"}
    assert (CONF.host_of(tags), CONF.port_of(tags)) == ("backend.v1.mesh", 8080)
    assert CONF.selected(tags) == {"kuma.io/service": "backend", "version": "v1", "port": "+8080"}


@pytest.mark.parametrize("port", ["", "http", "0", "-1", "65536", "8 0", "8_0", "٨", "9" * 30])
def test_a_tag_that_is_no_port_makes_none(port: str) -> None:
    with pytest.raises(ValueError, match="evaluation of template"):
        CONF.port_of({"port": port})


@pytest.mark.parametrize("service", ["-a", "a b", "a" * 64, "a..b", "a/b"])
def test_a_tag_that_is_no_name_makes_none(service: str) -> None:
    with pytest.raises(ValueError, match="valid dns name"):
        CONF.host_of({"kuma.io/service": service, "version": "v1"})
    with pytest.raises(ValueError, match="valid dns name"):
        VirtualOutboundConf(host="10.0.0.1").host_of({})
