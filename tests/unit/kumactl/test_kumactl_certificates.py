"""Self-signed certificates."""

import ipaddress
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kumactl.certificates import CLIENT, ECDSA, RSA, SERVER, self_signed

NOW = datetime(2026, 5, 4, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("key_type", "kind_of_key"), [(RSA, rsa.RSAPrivateKey), (ECDSA, ec.EllipticCurvePrivateKey)]
)
@pytest.mark.parametrize("kind", [SERVER, CLIENT])
def test_certificates(kind, key_type, kind_of_key):
    hosts = ["cp.example", "*.mesh", "127.0.0.1", "::1"]
    key_pem, pem = self_signed(hosts, kind=kind, key_type=key_type, now=NOW)
    certificate = x509.load_pem_x509_certificate(pem)
    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, kind_of_key)
    assert key.public_key() == certificate.public_key()
    certificate.verify_directly_issued_by(certificate)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["cp.example", "*.mesh"]
    assert names.get_values_for_type(x509.IPAddress) == [
        ipaddress.ip_address("127.0.0.1"),
        ipaddress.ip_address("::1"),
    ]
    (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    assert common_name.value == "cp.example"
    assert certificate.not_valid_before_utc < NOW
    assert certificate.not_valid_after_utc == NOW + timedelta(days=3650)
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    wanted = ExtendedKeyUsageOID.SERVER_AUTH if kind == SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
    assert list(extended) == [wanted]
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca == (kind == SERVER)


def test_long_and_foreign_names():
    long = ".".join(["a" * 60] * 3)
    _, pem = self_signed([long, "bücher.example"], kind=SERVER, key_type=ECDSA, now=NOW)
    names = x509.load_pem_x509_certificate(pem).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert names.value.get_values_for_type(x509.DNSName) == [long, "xn--bcher-kva.example"]


@pytest.mark.parametrize("name", ["", "a b", "http://a", "a:80", "a@b", "a..b", "a" * 70, "a\n", "\ud800"])
def test_what_is_no_host_is_refused(name):
    with pytest.raises(ValueError, match="is neither a host name nor an IP address"):
        self_signed([name], kind=SERVER, key_type=ECDSA, now=NOW)
