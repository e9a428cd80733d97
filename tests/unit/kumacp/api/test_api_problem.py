"""The shape of errors (contract 9.6)."""

import json

import pytest

from kumacp.api.exchange import Request, problem_answer
from kumacp.api.problem import Problem, body_refused, invalid, not_allowed, not_found
from kumamesh.resource import Violation


def test_violations_are_listed_under_both_names():
    document = invalid(
        "Could not create a resource", [Violation("networking.address", "cannot be empty")]
    ).document()
    assert document == {
        "type": "/std-errors",
        "status": 400,
        "title": "Could not create a resource",
        "detail": "Resource is not valid",
        "details": "Resource is not valid",
        "invalid_parameters": [{"field": "networking.address", "reason": "cannot be empty"}],
        "causes": [{"field": "networking.address", "message": "cannot be empty"}],
    }


def test_without_violations_there_are_no_lists():
    assert not_found("Could not retrieve a resource").document() == {
        "type": "/std-errors",
        "status": 404,
        "title": "Could not retrieve a resource",
        "detail": "Not found",
        "details": "Not found",
    }


def test_the_answer_carries_status_type_and_headers():
    answer = problem_answer(not_allowed("it is read-only", ("GET", "HEAD")))
    assert (answer.status, answer.content_type) == (405, "application/problem+json")
    assert answer.headers["Allow"] == "GET, HEAD"
    assert json.loads(answer.body)["title"] == "Method not allowed"


def test_the_size_limit_is_told():
    assert body_refused(413, "too much").document()["title"] == "Request Entity Too Large"


@pytest.mark.parametrize("body", [b"", b"{", b"\xff\xfe{}", b'{"a": NaN}', b"[" * 100_000, b'{"a": 1} x'])
def test_broken_json_is_a_bad_request(body):
    with pytest.raises(Problem) as refused:
        Request("PUT", ("meshes", "a"), body=body).json_object()
    assert (refused.value.status, refused.value.title) == (400, "Bad Request")
    assert "JSON" in refused.value.detail


def test_the_body_must_be_an_object():
    with pytest.raises(Problem, match="must be a JSON object"):
        Request("PUT", ("meshes", "a"), body=b"[1]").json_object()


def test_secrets_do_not_show_in_the_repr_of_a_request():
    request = Request("PUT", ("a",), headers={"authorization": "Bearer s3cret"}, body=b"s3cret")
    assert "s3cret" not in repr(request)
