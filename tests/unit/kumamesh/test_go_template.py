"""Templates of Go, in the part that resources use."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumamesh.go_template import TemplateError, parse

VALUES = {"service": "backend", "zone": "east", "empty": ""}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("plain.mesh", "plain.mesh"),
        ("{{.service}}.mesh", "backend.mesh"),
        ("{{ .service }}.{{.zone}}.mesh", "backend.east.mesh"),
        ("{{\t.service\n}}", "backend"),
        ("a {{- .service -}} b", "abackendb"),
        ("{{.service}} {{- .zone}}", "backendeast"),
        ("{{.service -}} .mesh", "backend.mesh"),
        ("{{.service -}} x {{.zone}}", "backendx east"),
        ("{{/* who */}}x{{.empty}}", "x"),
        ("{{.missing}}.mesh", "<no value>.mesh"),
        ("}} { }{{.zone}}", "}} { }east"),
    ],
)
def test_fields_are_replaced(text: str, expected: str) -> None:
    assert parse(text).render(VALUES, 100) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("foo.{{mesh", 'template: :1: function "mesh" not defined'),
        ("{{port}}", 'template: :1: function "port" not defined'),
        ("foo.{{.mesh", "template: :1: unclosed action"),
        ("a\nb{{", "template: :2: unclosed action"),
        ("{{}}", "template: :1: missing value for command"),
        ("{{ /* open }}", "template: :1: {{/* open}} is not supported, only {{.name}} is"),
        ("{{.a.b}}", "template: :1: {{.a.b}} is not supported, only {{.name}} is"),
        ("{{if .a}}", "template: :1: {{if .a}} is not supported, only {{.name}} is"),
        ("{{- }}", "template: :1: missing value for command"),
    ],
)
def test_what_is_wrong_is_said_in_the_words_of_go(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        parse(text)
    assert str(caught.value) == message


def test_a_template_is_not_as_long_as_one_likes() -> None:
    assert parse("{{.a}}" * 682).render({"a": "b"}, 1000) == "b" * 682
    with pytest.raises(TemplateError, match="has 600000 characters, at most 4096 are supported"):
        parse("{{.a}}" * 100_000)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("x", "x-x-x-x-"), ("x" * 8, "x" * 8), ("xyz", "xyz-xyz-"), ("x" * 10_000_000, "x" * 8)],
)
def test_what_a_template_makes_is_cut_off(value: str, expected: str) -> None:
    assert parse("{{.a}}-" * 500).render({"a": value}, 8) == expected


@given(st.text(st.sampled_from("{}.-/* \naé_0"), max_size=40))
def test_no_text_does_harm(text: str) -> None:
    try:
        template = parse(text)
    except TemplateError:
        return
    assert "".join(part for part in template.parts if isinstance(part, str)) in text or "{{" in text
    assert len(template.render({}, 1000)) <= 10 * len(text)
