"""Who counts as a program of this host, and what users may do (contract 7.5)."""

import pytest

from kumacp.api.auth import (
    User,
    bearer_token,
    for_other_site,
    is_local,
)
from kumacp.api.problem import Problem

LOCAL = {"host": "localhost:5681"}


@pytest.mark.parametrize(
    ("peer", "scheme", "headers"),
    [
        ("127.0.0.1", "http", LOCAL),
        ("127.8.9.10", "http", LOCAL),
        ("::1", "http", {"host": "[::1]:5681"}),
        ("::ffff:127.0.0.1", "http", {"host": "127.0.0.1:5681"}),
        ("127.0.0.1", "https", {"host": "LOCALHOST:5682"}),
        ("127.0.0.1", "http", {"host": "localhost"}),
        ("127.0.0.1", "http", LOCAL | {"sec-fetch-site": "same-origin"}),
        ("127.0.0.1", "http", LOCAL | {"sec-fetch-site": "none"}),
        ("127.0.0.1", "http", LOCAL | {"origin": "http://localhost:5681"}),
        ("127.0.0.1", "http", {"host": "localhost", "origin": "http://localhost:80"}),
    ],
)
def test_a_program_of_this_host_is_local(peer, scheme, headers):
    assert is_local(peer, scheme, headers)


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("10.0.0.5", LOCAL),
        ("", LOCAL),
        ("not an address", LOCAL),
        ("::ffff:10.0.0.5", LOCAL),
        ("127.0.0.1", {}),
        ("127.0.0.1", {"host": ""}),
        ("127.0.0.1", {"host": "mesh.example:5681"}),
        ("127.0.0.1", {"host": "10.0.0.5:5681"}),
        ("127.0.0.1", {"host": "localhost.evil.example"}),
        ("127.0.0.1", {"host": "localhost@evil.example"}),
        ("127.0.0.1", {"host": "user@localhost:5681"}),
        ("127.0.0.1", {"host": "localhost:port"}),
        ("127.0.0.1", LOCAL | {"forwarded": "for=10.0.0.5"}),
        ("127.0.0.1", LOCAL | {"x-forwarded-for": ""}),
        ("127.0.0.1", LOCAL | {"x-real-ip": "10.0.0.5"}),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "cross-site"}),
        ("127.0.0.1", LOCAL | {"sec-fetch-site": "same-site"}),
        ("127.0.0.1", LOCAL | {"origin": "http://evil.example"}),
        ("127.0.0.1", LOCAL | {"origin": "null"}),
        ("127.0.0.1", LOCAL | {"origin": "http://localhost:8080"}),
        ("127.0.0.1", LOCAL | {"origin": "https://localhost:5681"}),
        ("127.0.0.1", LOCAL | {"origin": "http://127.0.0.1:5681"}),
        ("127.0.0.1", LOCAL | {"origin": ""}),
    ],
)
def test_everybody_else_is_not_local(peer, headers):
    assert not is_local(peer, "http", headers)


def test_the_token_is_taken_from_the_header():
    assert bearer_token({}) is None
    assert bearer_token({"authorization": "Bearer abc"}) == "abc"
    assert bearer_token({"authorization": "bearer  abc "}) == "abc"


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic dTpw", "abc"])
def test_a_header_that_is_no_token_is_refused(header):
    with pytest.raises(Problem) as refused:
        bearer_token({"authorization": header})
    assert refused.value.status == 401
    assert refused.value.title == "Invalid authentication data"


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({"host": "cp.example:5682"}, False),
        ({"host": "cp.example:5682", "origin": "https://cp.example:5682"}, False),
        ({"host": "cp.example:5682", "origin": "https://evil.example"}, True),
        ({"host": "cp.example:5682", "origin": "null"}, True),
        ({"host": "cp.example:5682", "sec-fetch-site": "cross-site"}, True),
        ({"origin": "https://cp.example"}, True),
    ],
)
def test_a_page_of_another_site_is_recognised(headers, foreign):
    assert for_other_site("https", headers) is foreign


def test_a_user_is_shown_on_one_line():
    assert User("ann", ("a", "b")).printable == "ann/a,b"
    assert "\n" not in User("ann\nerror", ()).printable
