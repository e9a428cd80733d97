"""Query parameters that a path takes, and what is said about others (contract 9.2)."""

import pytest

from kumacp.api.parameters import DATAPLANES, LABELS, MAX_PARAMETERS, NAME, PAGE, check
from kumacp.api.problem import Problem
from kumacp.api.routes import match

LIST = (*PAGE, NAME, LABELS, *DATAPLANES)


def refusal(query, known=LIST):
    with pytest.raises(Problem) as refused:
        check(query, known)
    assert (refused.value.status, refused.value.title) == (400, "Bad Request")
    return refused.value.detail


def test_known_parameters_pass():
    check([], ())
    check(
        [
            ("size", "1"),
            ("offset", "0"),
            ("name", ""),
            ("tag", "a:b"),
            ("tag", "c:d"),
            ("gateway", "true"),
            ("ingress", "false"),
            ("filter[labels.kuma.io/zone]", "east"),
            ("filter[labels.a]", "b"),
        ],
        LIST,
    )


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("nam", 'unknown query parameter "nam"; did you mean name?'),
        ("Size", 'unknown query parameter "Size"; did you mean size?'),
        ("filter[label.a]", 'unknown query parameter "filter[label.a]"; did you mean filter[labels.<key>]?'),
        ("filter[labels.]", 'unknown query parameter "filter[labels.]"; did you mean filter[labels.<key>]?'),
        (
            "zzz",
            'unknown query parameter "zzz"; known here are size, offset, name, filter[labels.<key>], tag',
        ),
        ("\x00\n", "unknown query parameter \"'\\x00\\n'\"; known here are size"),
        ("x" * 500, f"unknown query parameter \"'{'x' * 60}'\"; known here are size"),
    ],
)
def test_the_nearest_is_suggested(name, told):
    assert refusal([(name, "1")]).startswith(told)


def test_a_path_that_takes_none_says_so():
    assert refusal([("size", "1")], ()) == 'unknown query parameter "size"; this path takes none'


def test_what_can_be_said_once_is_not_said_twice():
    assert (
        refusal([("size", "1"), ("size", "2")]) == 'the query parameter "size" is given 2 times; give it once'
    )


def test_the_number_of_filters_is_bounded():
    full = [("tag", f"a{number}:b") for number in range(MAX_PARAMETERS)]
    check(full, LIST)
    assert refusal([*full, ("tag", "c:d")]) == "there are 65 query parameters; at most 64 are possible"


@pytest.mark.parametrize("value", ["a\x00", "a\nb", "\udcff"])
def test_text_is_text(value):
    assert refusal([("name", value)]) == "the query parameter 'name' has characters that no text has"


@pytest.mark.parametrize(
    ("path", "method", "names"),
    [
        ("meshes", "GET", ["size", "offset", "name", "filter[labels."]),
        (
            "dataplanes/_overview",
            "GET",
            ["size", "offset", "name", "filter[labels.", "tag", "gateway", "ingress"],
        ),
        ("meshes/m/dataplanes/d", "GET", ["format", "namespace"]),
        ("meshes/m/dataplanes/d", "PUT", []),
        ("meshes/m/dataplanes/d/_overview", "GET", []),
        ("service-insights", "GET", ["size", "offset", "name", "type"]),
        ("mesh-insights", "GET", ["size", "offset", "name"]),
        ("_kri/x", "GET", ["format", "namespace"]),
        ("config", "GET", []),
        ("tokens/user", "POST", []),
    ],
)
def test_parameters_of_paths(path, method, names):
    route = match(path.split("/"))
    assert route is not None
    assert [parameter.name for parameter in route.parameters(method)] == names
