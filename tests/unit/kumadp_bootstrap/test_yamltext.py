"""YAML of bootstraps: what is read, what is refused, what is written so that nobody misreads it."""

from __future__ import annotations

import contextlib

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kumadp_bootstrap.yamltext import dump, load
from kumamesh.errors import UserError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    "text", ["y", "N", "yes", "on", "true", "null", "~", "", "1", "1.5", "0x1f", "1:30", "2001-01-01"]
)
def test_strings_that_look_like_something_else_are_quoted(text: str) -> None:
    assert dump({"a": text}) in {f"a: '{text}'\n", f'a: "{text}"\n'}


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("null", None),
        ("", None),
        ("12", 12),
        ("-3", -3),
        ("4294967295", 4_294_967_295),
        ("0.95", 0.95),
        ("007", "007"),
        ("1:30", "1:30"),
        ("2001-01-01", "2001-01-01"),
        ("0s", "0s"),
        ("'9901'", "9901"),
    ],
)
def test_scalars(scalar: str, value: object) -> None:
    read = load(f"a: {scalar}\n", "x")["a"]
    assert (read, type(read)) == (value, type(value))


def test_keys_are_always_text() -> None:
    assert load("{1: a, true: b, on: c, a.b: d}", "x") == {"1": "a", "true": "b", "on": "c", "a.b": "d"}


def test_json_is_read_too() -> None:
    assert load('{"a": {"b": [1, "x"]}}', "x") == {"a": {"b": [1, "x"]}}


def test_a_value_used_twice_is_written_twice() -> None:
    shared = {"ads": {}}
    assert "&" not in dump({"a": shared, "b": shared})


def test_certificates_stay_readable() -> None:
    assert dump({"ca": "-----BEGIN\nabc\n-----END\n"}) == "ca: |\n  -----BEGIN\n  abc\n  -----END\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", r"^cp:2:1: "),
        ("a: b: c", r"^cp:1:5: "),
        ("- a", "mapping is expected, not list"),
        ("", "mapping is expected, not NoneType"),
        ("a: \x00", "not YAML"),
        ("a: &x 1\nb: *x", "aliases are not accepted"),
        ("a: &x [*x]", "aliases are not accepted"),
        ("? [a]\n: b", r"^cp:1:3: a key must be text"),
        ("a: !!python/object/apply:os.system [x]", r"^cp:1:4: "),
        ("a: 1\n---\nb: 1", r"^cp:2:1: "),
    ],
)
def test_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        load(text, "cp")
    assert "\n" not in str(caught.value)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(UserError):
        load("[" * 5000, "cp")


@given(st.text())
def test_any_text_is_a_mapping_or_an_error_for_the_user(text: str) -> None:
    with contextlib.suppress(UserError):
        assert isinstance(load(text, "cp"), dict)


@given(st.dictionaries(st.text(), JSON, max_size=4))
def test_everything_json_can_say_survives(document: dict[str, object]) -> None:
    text = dump(document)
    assert load(text, "x") == document
    assert dump(load(text, "x")) == text


@given(
    st.dictionaries(st.text(st.characters(codec="ascii")), st.text(st.characters(codec="ascii")), max_size=3)
)
def test_a_plain_yaml_reader_reads_the_same(document: dict[str, str]) -> None:
    assert yaml.safe_load(dump(document)) == document
