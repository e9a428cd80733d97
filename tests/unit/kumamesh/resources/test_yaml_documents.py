"""YAML as people write it, and as attackers do: every refusal is one line with line and column."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import MAX_BYTES, dump_document, load_documents


def refusal(text: str) -> str:
    with pytest.raises(UserError) as caught:
        load_documents(text, "mesh.yaml")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_text_may_have_several_documents_and_empty_ones() -> None:
    text = "---\n---\ntype: Mesh\nname: a\n---\n# nothing\n---\ntype: Zone\nname: b\n...\n"
    assert load_documents(text, "-") == [{"type": "Mesh", "name": "a"}, {"type": "Zone", "name": "b"}]


@pytest.mark.parametrize("text", ["", "# only a comment", "---\n...\n", "~", "null"])
def test_a_text_may_have_no_document(text: str) -> None:
    assert load_documents(text, "-") == []


def test_json_is_read_as_well() -> None:
    assert load_documents('{"type": "Mesh", "n": [1, -2.5, true, null, 1e3]}', "-") == [
        {"type": "Mesh", "n": [1, -2.5, True, None, 1000.0]}
    ]


@pytest.mark.parametrize(
    ("plain", "value"),
    [
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("truely", "truely"),
        ("~", None),
        ("", None),
        ("''", ""),
        ("8080", 8080),
        ("+5", 5),
        ("0x1F", 31),
        ("017", "017"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("1.5", 1.5),
        ("-.5", -0.5),
        ("2e3", 2000.0),
        (".nan", ".nan"),
        ("1.2.3", "1.2.3"),
        ("2026-01-02", "2026-01-02"),
        ("9" * 30, "9" * 30),
        ("!!str 5", "5"),
        ("=", "="),
    ],
)
def test_scalars_mean_what_json_can_say(plain: str, value: Any) -> None:
    [read] = load_documents(f"a: {plain}", "-")
    assert read == {"a": value}
    assert type(read["a"]) is type(value)


def test_anchors_aliases_and_merges_work() -> None:
    text = "base: &base {x: 1, y: 2}\nother:\n  <<: *base\n  y: 3\nsame: *base\n"
    [read] = load_documents(text, "-")
    assert read["other"] == {"x": 1, "y": 3}
    assert read["same"] == {"x": 1, "y": 2}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a: 1\nb: [1, 2\n",
            "mesh.yaml:3:1: did not find expected ',' or ']' (while parsing a flow sequence)",
        ),
        (
            "a:\n\tb: 1",
            "mesh.yaml:2:1: found character that cannot start any token (while scanning for the next token)",
        ),
        (
            "type: Mesh\n  name: x",
            "mesh.yaml:2:7: mapping values are not allowed in this context",
        ),
        ("a: 1\nb: {a: 1, a: 2}", 'mesh.yaml:2:11: the key "a" is given twice'),
        ("type: [", "mesh.yaml:1:8: did not find expected node content (while parsing a flow node)"),
        ("a: 1\n---\n? [x]\n: 1", "mesh.yaml:3:3: a key must be a string"),
        ("- type: Mesh", "mesh.yaml:1:1: a document must be an object with type and name, not a list"),
        ("a: 1\n---\nhello", "mesh.yaml:3:1: a document must be an object with type and name"),
        ("a: *b", "mesh.yaml:1:4: found undefined alias"),
        ("a: &x {b: *x}", 'mesh.yaml:1:11: the alias "x" lies inside of what it repeats'),
        (
            "a: !!python/object/apply:os.system [id]",
            "mesh.yaml:1:4: could not determine a constructor for the tag"
            " 'tag:yaml.org,2002:python/object/apply:os.system'",
        ),
        (
            "a: !!timestamp 2026-01-02",
            "mesh.yaml:1:4: could not determine a constructor for the tag 'tag:yaml.org,2002:timestamp'",
        ),
        ("a: 1\né: \x07", "mesh.yaml:2:4: the character #x0007 is not allowed"),
        ("a: !!int x", "mesh.yaml: invalid literal for int() with base 10: 'x'"),
        ("a: \ud800", "mesh.yaml: the text is not valid Unicode: surrogates not allowed"),
    ],
)
def test_broken_yaml_is_told_with_line_and_column(text: str, expected: str) -> None:
    assert refusal(text) == expected


@pytest.mark.parametrize("text", ["a: " + "[" * 100_000, "a:\n" + " -" * 100_000, "{a: " * 100_000])
def test_deep_nesting_is_refused_before_anything_is_built(text: str) -> None:
    assert re.fullmatch(r"mesh\.yaml:[12]:\d+: nested more than 64 levels deep", refusal(text))


@pytest.mark.parametrize("levels", [1, 2])
def test_an_alias_is_as_deep_as_what_it_repeats(levels: int) -> None:
    anchored = "[" * levels + "1" + "]" * levels
    lists = 63 - levels  # the object is a level, too

    def nested(count: int) -> str:
        return f"a: &x {anchored}\nb: {'[' * count}*x{']' * count}"

    load_documents(nested(lists), "mesh.yaml")
    with pytest.raises(UserError, match=r"mesh\.yaml:2:\d+: nested more than 64 levels deep"):
        load_documents(nested(lists + 1), "mesh.yaml")
    twice = f"a: &x {anchored}\nb: &y [*x]\nc: {'[' * lists}*y{']' * lists}"
    with pytest.raises(UserError, match=r"mesh\.yaml:3:\d+: nested more than 64 levels deep"):
        load_documents(twice, "mesh.yaml")


@pytest.mark.parametrize(("opened", "closed"), [("[", "]"), ("{", "}")])
def test_aliases_that_grow_without_end_are_refused(opened: str, closed: str) -> None:
    def container(items: list[str]) -> str:
        keyed = [f"k{i}: {item}" for i, item in enumerate(items)] if opened == "{" else items
        return f"{opened}{', '.join(keyed)}{closed}"

    lines = [f"a0: &a0 {container(['1'] * 10)}"]
    lines += [f"a{i}: &a{i} {container([f'*a{i - 1}'] * 10)}" for i in range(1, 9)]
    assert refusal("\n".join(lines)).endswith(
        ": more than 1,000,000 values, aliases counted as what they repeat"
    )


def test_a_text_of_more_than_ten_mebibytes_is_refused() -> None:
    assert refusal("#" * (MAX_BYTES + 1)) == "mesh.yaml: the text is larger than 10 MiB; split it"
    assert refusal("#" + "é" * (MAX_BYTES // 2)) == "mesh.yaml: the text is larger than 10 MiB; split it"


@given(st.text(st.sampled_from("ab:-[]{},&*!|>'\"#%? \n\t~0.\x00é"), max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    documents: list[dict[str, Any]] = []
    told = "f: nothing"
    try:
        documents = load_documents(text, "f")
    except UserError as error:
        told = str(error)
    assert told.startswith("f:")
    assert "\n" not in told
    assert all(isinstance(document, dict) for document in documents)


_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=10) | st.from_regex(
    r"[-+0-9.:eExX_~=<!truefalsyno]{1,8}", fullmatch=True
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(-1e6, 1e6) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(_TEXT, _JSON, max_size=4))
def test_what_is_written_is_read_again(document: dict[str, Any]) -> None:
    assert load_documents(dump_document(document), "f") == [document]


def test_documents_are_written_in_block_style_with_keys_in_order() -> None:
    shared = {"x": "on"}
    text = dump_document({"type": "Zone", "a": shared, "b": shared, "c": ["1", 1], "d": "Grüße"})
    assert text == "type: Zone\na:\n  x: 'on'\nb:\n  x: 'on'\nc:\n- '1'\n- 1\nd: Grüße\n"
