"""The CA of Envoy's admin endpoints and what it signs."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from kumacp.identity.admin_ca import (
    admin_tls,
    create_admin_ca,
    from_secret_data,
    issue_admin_client,
    issue_admin_server,
    to_secret_data,
)
from kumacp.identity.server_cert import is_ca, subject_names
from kumacp.identity.x509 import matches

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
CA = create_admin_ca(NOW)
ROOT = x509.load_pem_x509_certificate(CA.certificate)


def leaf(pem: bytes) -> x509.Certificate:
    cert = x509.load_pem_x509_certificate(pem)
    cert.verify_directly_issued_by(ROOT)
    return cert


def test_root() -> None:
    assert "CN=Envoy Admin CA" in ROOT.subject.rfc4514_string()
    assert is_ca(CA.certificate)


def test_secret_data_goes_there_and_back() -> None:
    data = to_secret_data(CA)
    assert data.count(b"-----BEGIN") == 2
    assert from_secret_data(data) == CA


def test_key_and_certificate_may_come_in_any_order() -> None:
    assert from_secret_data(CA.private_key + b"\n\n" + CA.certificate) == CA


@pytest.mark.parametrize(
    "data",
    [b"", b"\xff\x00", CA.certificate, CA.private_key, CA.certificate + create_admin_ca(NOW).private_key],
)
def test_other_data_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="envoy-admin-ca must hold"):
        from_secret_data(data)


def test_server_certificate_is_for_the_addresses_of_the_proxy() -> None:
    server = issue_admin_server(CA, ["192.168.0.1", "fd00::1", "proxy.local", "192.168.0.1"], now=NOW)
    assert subject_names(server.certificate) == (("proxy.local",), ("192.168.0.1", "fd00::1"))
    extended = leaf(server.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert matches(server.certificate, server.private_key)


def test_client_certificate_is_the_control_planes() -> None:
    client = issue_admin_client(CA, now=NOW)
    assert subject_names(client.certificate).dns == ("kuma-cp",)
    extended = leaf(client.certificate).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(extended) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_admin_tls_is_complete() -> None:
    tls = admin_tls(CA, ["10.0.0.1"], now=NOW)
    assert tls.client_ca == CA.certificate
    assert matches(tls.certificate, tls.private_key)
