"""Which parts of a PEM file are taken for the control plane's authority."""

from __future__ import annotations

import pytest

from kumadp.certificates import certificates
from kumamesh.errors import UserError

ONE = "-----BEGIN CERTIFICATE-----\nAAAA\nBBBB\n-----END CERTIFICATE-----\n"
TWO = ONE.replace("AAAA", "CCCC")
KEY = "-----BEGIN PRIVATE KEY-----\nSECRET\n-----END PRIVATE KEY-----\n"


def test_all_certificates_and_nothing_else_are_taken() -> None:
    assert certificates(f"# Autorit\u00e9\n{ONE}{KEY}\ntext\n{TWO}", "ca.pem") == ONE + TWO


def test_line_ends_of_windows_do_not_matter() -> None:
    assert certificates(ONE.replace("\n", "\r\n"), "ca.pem") == ONE


@pytest.mark.parametrize("text", ["", "  \n", KEY, ONE[:-10], "-----BEGIN CERTIFICATE-----"])
def test_a_text_without_a_certificate_is_refused(text: str) -> None:
    """Empty must not mean that everybody's authorities are trusted."""
    with pytest.raises(UserError, match=r"^ca.pem holds no certificate in PEM form") as caught:
        certificates(text, "ca.pem")
    assert "SECRET" not in str(caught.value)
