"""Variables in resource files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumamesh.errors import UserError
from kumamesh.template import parse_variables, render

VALUES = {"name": "web", "port": "80", "mesh.name": "m", "odd": "<a & 'b'>"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: {{ name }}", "name: web"),
        ("name: {{name}}-{{  port  }}", "name: web-80"),
        ("{{{ name }}}", "web"),
        ("{{& name }}", "web"),
        ("{{ mesh.name }}", "m"),
        ("{{ odd }} {{{ odd }}}", "<a & 'b'> <a & 'b'>"),
        ("a{{! a note }}b", "ab"),
        ("{a: {b: c}}", "{a: {b: c}}"),
        ("no variables", "no variables"),
        ("{{.name}} {{ .other }} {{- .name -}}{{ name }}", "{{.name}} {{ .other }} {{- .name -}}web"),
    ],
)
def test_variables_are_replaced_without_escaping(text, expected):
    assert render(text, VALUES, "f.yaml").text == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {{ nam }}", "f.yaml:2: the variable nam has no value; did you mean name?"),
        ("{{ other }}", "f.yaml:1: the variable other has no value; give it with -v other=VALUE"),
        ("\n\n{{#list}}", "f.yaml:3: only variables may stand in double braces"),
        ("{{/list}}", "f.yaml:1: only variables may stand in double braces"),
        ("{{> part}}", "f.yaml:1: only variables may stand in double braces"),
        ("{{ }}", "f.yaml:1: only variables may stand in double braces"),
    ],
)
def test_what_cannot_be_replaced_is_told_with_its_line(text, message):
    with pytest.raises(UserError) as refused:
        render(text, VALUES, "f.yaml")
    assert str(refused.value).startswith(message)


def test_a_value_is_not_looked_through_again():
    assert render("{{ a }}", {"a": "{{ b }}"}, "f").text == "{{ b }}"


def test_unused_variables_are_told():
    assert render("{{ a }}", {"a": "1", "c": "3", "b": "2"}, "f").unused == ("b", "c")


def test_variables_are_pairs():
    assert parse_variables(("a=2", "b=x=y", "c=", "a=1")) == {"a": "1", "b": "x=y", "c": ""}
    for wrong in ("a", "=1", ""):
        with pytest.raises(UserError, match="name=value"):
            parse_variables((wrong,))


@given(st.text(alphabet="{}abc !&#\n", max_size=40))
def test_any_text_is_rendered_or_refused(text):
    try:
        rendered = render(text, {"a": "1", "b": "2", "c": "3"}, "f").text
    except UserError:
        return
    assert "{{a}}" not in rendered.replace("{{{", "")
