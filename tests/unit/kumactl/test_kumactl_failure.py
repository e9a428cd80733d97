"""How refusals of the control plane read (contract 9.6)."""

import json

import pytest

from kumactl.failure import refusal


@pytest.mark.parametrize(
    ("document", "text"),
    [
        (
            {"title": "Could not retrieve a resource", "detail": "Not found"},
            "Could not retrieve a resource (Not found)",
        ),
        ({"title": "Conflict"}, "Conflict"),
        ({"title": "Old", "details": "older name"}, "Old (older name)"),
        (
            {
                "title": "Could not create a resource",
                "detail": "Resource is not valid",
                "invalid_parameters": [
                    {"field": "a.b", "reason": "cannot be empty"},
                    {"field": "", "reason": "why"},
                ],
                "causes": [{"field": "x", "message": "not shown"}],
            },
            "Could not create a resource (Resource is not valid)\n* a.b: cannot be empty\n* why",
        ),
        (
            {"title": "T", "detail": "d", "causes": [{"field": "a", "message": "from causes"}]},
            "T (d)\n* a: from causes",
        ),
    ],
)
def test_error_documents(document, text):
    refused = refusal(400, json.dumps(document).encode())
    assert str(refused) == text
    assert (refused.status, refused.exit_code) == (400, 1)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "the control plane answered with status 502"),
        (
            b"<html>\n bad gateway</html>",
            "the control plane answered with status 502: <html> bad gateway</html>",
        ),
        (b"[]", "the control plane answered with status 502: []"),
        (b"\xff", "the control plane answered with status 502: \ufffd"),
    ],
)
def test_other_answers(body, text):
    assert str(refusal(502, body)) == text
