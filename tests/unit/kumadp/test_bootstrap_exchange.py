"""What each answer of the control plane means."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.bootstrap_exchange import Again, Bootstrap, Final, judge, not_tls, untrusted


def test_a_bootstrap() -> None:
    body = json.dumps({"bootstrap": base64.b64encode(b"node: {}").decode()}).encode()
    assert judge(200, body) == Bootstrap("node: {}")


@pytest.mark.parametrize(
    "body",
    [b"", b"node: {}", b"[]", b"{}", b'{"bootstrap": "%%"}', b'{"bootstrap": 5}', b'{"bootstrap": ""}'],
)
def test_an_answer_without_a_bootstrap_is_final(body: bytes) -> None:
    outcome = judge(200, body)
    assert isinstance(outcome, Final)
    assert "holds no bootstrap" in outcome.reason


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_passing_troubles_are_retried(status: int) -> None:
    assert judge(status, b"") == Again(f"the control plane answers {status}")
    assert judge(status, b"busy\n now") == Again(f"the control plane answers {status}: busy now")


def test_an_unknown_proxy_is_retried() -> None:
    assert isinstance(judge(404, b""), Again)


def test_the_api_server_s_404_is_a_wrong_port() -> None:
    outcome = judge(404, b"404: Page Not Found")
    assert isinstance(outcome, Final)
    assert "5678" in outcome.reason


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_other_refusals_are_final_and_show_the_servers_message(status: int) -> None:
    outcome = judge(status, b"name: must\n be set")
    assert outcome == Final(f"the control plane refuses this proxy ({status}): name: must be set")


@pytest.mark.parametrize("status", [201, 204, 301, 302])
def test_answers_of_other_servers_are_final(status: int) -> None:
    assert isinstance(judge(status, b"x"), Final)


def test_certificate_troubles_name_the_remedy() -> None:
    assert "--ca-cert-file" in untrusted("self-signed certificate", "").reason
    assert "the certificates in /ca.pem" in untrusted("x", "/ca.pem").reason
    assert "does not speak TLS" in not_tls().reason


@given(st.integers(100, 599), st.binary(max_size=4_000))
def test_any_answer_gives_one_line(status: int, body: bytes) -> None:
    outcome = judge(status, body)
    if not isinstance(outcome, Bootstrap):
        assert "\n" not in outcome.reason
        assert outcome.reason
