"""The control plane's self-made certificate and what is read from anybody's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kumacp.identity.admin_ca import create_admin_ca, issue_admin_client
from kumacp.identity.server_cert import create_server_certificate, is_ca, subject_names
from kumacp.identity.x509 import matches

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
CERT, KEY = create_server_certificate("cp-host", ["127.0.0.1", "::1", "10.1.2.3"], NOW)


def test_shape() -> None:
    cert = x509.load_pem_x509_certificate(CERT)
    usage = cert.extensions.get_extension_for_class(x509.KeyUsage).value
    extended = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    cert.verify_directly_issued_by(cert)
    assert cert.subject.rfc4514_string() == "CN=kuma-cp,O=Kuma"
    assert (usage.digital_signature, usage.key_encipherment, usage.key_cert_sign) == (True, True, True)
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert cert.not_valid_before_utc == NOW - timedelta(minutes=5)
    assert cert.not_valid_after_utc == NOW + timedelta(days=3650)
    assert matches(CERT, KEY)


def test_names_and_ca() -> None:
    assert subject_names(CERT) == (("cp-host", "localhost"), ("127.0.0.1", "::1", "10.1.2.3"))
    assert is_ca(CERT)


@pytest.mark.parametrize("hostname", ["localhost", "", "größe"])
def test_hostnames_that_add_nothing(hostname: str) -> None:
    cert, _ = create_server_certificate(hostname, [], NOW)
    assert subject_names(cert) == (("localhost",), ())


def test_only_the_first_certificate_of_a_bundle_is_judged() -> None:
    root = create_admin_ca(NOW)
    leaf = issue_admin_client(root, now=NOW).certificate
    assert not is_ca(leaf + root.certificate)
    assert is_ca(root.certificate + leaf)
    assert subject_names(root.certificate) == ((), ())


@pytest.mark.parametrize("pem", [b"", b"text", KEY])
def test_no_certificate(pem: bytes) -> None:
    with pytest.raises(ValueError):  # the text is the library's
        is_ca(pem)
    with pytest.raises(ValueError):  # the text is the library's
        subject_names(pem)
