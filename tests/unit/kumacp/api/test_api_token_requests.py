"""Bodies of token requests (contract 7.3; kuma-cp 5.5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumacp.api.problem import Problem
from kumacp.api.token_requests import parse
from kumamesh.tokens import DataplaneClaims, UserClaims, ZoneClaims

TEN_YEARS_S = 10 * 365 * 86_400


def violations(kind, body):
    with pytest.raises(Problem) as refused:
        parse(kind, body)
    assert (refused.value.status, refused.value.detail) == (400, "Resource is not valid")
    return {violation.field: violation.message for violation in refused.value.violations}


def test_a_dataplane_token_with_everything():
    body = {
        "name": "web-1",
        "mesh": "default",
        "tags": {"kuma.io/service": ["web", "web-api"]},
        "type": "dataplane",
        "workload": "web",
        "validFor": "1h30m",
    }
    order = parse("dataplane", body)
    tags = {"kuma.io/service": ("web", "web-api")}
    assert order.claims == DataplaneClaims("web-1", "default", tags, "dataplane", "web")
    assert order.valid_for_s == 5400


@pytest.mark.parametrize("body", [{"mesh": "m"}, {"mesh": "m", "validFor": "", "tags": None, "name": None}])
def test_a_dataplane_token_holds_ten_years_unless_told(body):
    order = parse("dataplane", body)
    assert order.claims == DataplaneClaims(mesh="m")
    assert order.valid_for_s == TEN_YEARS_S


def test_a_zone_token():
    order = parse("zone", {"zone": "zone-1", "scope": ["ingress", "egress"], "validFor": "24h"})
    assert order.claims == ZoneClaims("zone-1", ("ingress", "egress"))
    assert order.valid_for_s == 86_400


def test_a_user_token():
    order = parse("user", {"name": "ann", "groups": ["ops"], "validFor": "1h"})
    assert order.claims == UserClaims("ann", ("ops",))


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        ("dataplane", {}, {"mesh": "cannot be empty"}),
        ("zone", {}, {"scope": "cannot be empty"}),
        ("zone", {"scope": []}, {"scope": "cannot be empty"}),
        ("user", {}, {"name": "cannot be empty", "validFor": "cannot be empty or nil"}),
    ],
)
def test_what_is_required(kind, body, expected):
    assert violations(kind, body) == expected


@pytest.mark.parametrize(
    ("kind", "body", "field", "text"),
    [
        ("dataplane", {"mesh": "m", "type": "sidecar"}, "type", '"sidecar" is not a valid proxy type'),
        ("dataplane", {"mesh": 5}, "mesh", "must be a string"),
        ("dataplane", {"mesh": "m", "tags": {"a": "b"}}, "tags", "must be an object of lists of strings"),
        ("dataplane", {"mesh": "m", "tags": []}, "tags", "must be an object of lists of strings"),
        ("dataplane", {"mesh": "m", "validFor": "soon"}, "validFor", "is invalid: "),
        ("dataplane", {"mesh": "m", "validFor": "-1h"}, "validFor", "is invalid: it must be positive"),
        ("dataplane", {"mesh": "m", "validFor": "0s"}, "validFor", "is invalid: it must be positive"),
        ("dataplane", {"mesh": "m", "validFor": f"{10**400}y"}, "validFor", "is invalid: "),
        ("dataplane", {"mesh": "m", "validFor": 5}, "validFor", "must be a string"),
        ("dataplane", {"mesh": "m", "validfor": "1h"}, "validfor", "unknown field; did you mean validFor?"),
        ("zone", {"scope": ["cp", "admin"]}, "scope[1]", '"admin" is not a known scope'),
        ("zone", {"scope": "ingress"}, "scope", "must be a list of strings"),
        ("user", {"name": "a", "validFor": "1h", "groups": [1]}, "groups", "must be a list of strings"),
    ],
)
def test_what_is_wrong_is_told_by_field(kind, body, field, text):
    assert violations(kind, body)[field].startswith(text)


def test_everything_wrong_is_told_at_once():
    found = violations("dataplane", {"name": 1, "validFor": "x", "colour": "red"})
    assert set(found) == {"name", "mesh", "validFor", "colour"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.sampled_from(["name", "mesh", "tags", "type", "workload", "validFor", "zone", "scope", "groups"])


@given(st.sampled_from(["dataplane", "zone", "user"]), st.dictionaries(FIELDS, JSON, max_size=6))
def test_any_json_gives_claims_or_violations(kind, body):
    violations, valid_for_s = (), 0.0
    try:
        valid_for_s = parse(kind, body).valid_for_s
    except Problem as refused:
        violations = refused.violations
    assert bool(violations) != (valid_for_s > 0)
