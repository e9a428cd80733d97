"""What each answer of the control plane means."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kumadp.bootstrap_exchange import Again, Bootstrap, Final, clock_skew, judge, not_tls, untrusted

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


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
    assert "--ca-cert-file" in untrusted("self-signed certificate", "", NOW).reason
    assert "the certificates in /ca.pem" in untrusted("x", "/ca.pem", NOW).reason
    assert "does not speak TLS" in not_tls().reason


def test_a_certificate_whose_time_has_not_come_is_tried_again_and_one_whose_time_is_over_is_not() -> None:
    """The words are OpenSSL's."""
    early = untrusted("certificate is not yet valid", "/ca.pem", NOW)
    assert isinstance(early, Again)
    assert "this host's clock, which says 2026-05-01 12:00:00 UTC: set the clock" in early.reason
    late = untrusted("certificate has expired", "/ca.pem", NOW)
    assert isinstance(late, Final)
    assert "this host's clock, which says 2026-05-01 12:00:00 UTC" in late.reason


@pytest.mark.parametrize(
    ("date", "words"),
    [
        ("Fri, 01 May 2026 12:05:12 GMT", "312 s behind that of the control plane"),
        ("Fri, 01 May 2026 11:50:00 GMT", "600 s ahead of that of the control plane"),
        ("Fri, 01 May 2026 12:00:20 GMT", None),
        ("Fri, 01 May 2026 11:59:40 GMT", None),
        ("yesterday", None),
        ("", None),
        (None, None),
        ("Fri, 01 May 2026 12:05:12", None),
        ("Fri, 99 May 2026 12:05:12 GMT", None),
        (f"Fri, 01 May 2026 12:05:12 +{10**30}", None),
    ],
)
def test_clocks_that_differ_are_told(date: str | None, words: str | None) -> None:
    told = clock_skew(date, NOW)
    assert (words is None and told is None) or (words and told and words in told)


@given(st.integers(100, 599), st.binary(max_size=4_000))
def test_any_answer_gives_one_line(status: int, body: bytes) -> None:
    outcome = judge(status, body)
    if not isinstance(outcome, Bootstrap):
        assert "\n" not in outcome.reason
        assert outcome.reason
