"""Mesh CA and workload certificates: shape, chain, life and renewal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID

from kumacp.identity.ca import CertificateAuthority, create_ca, issue_identity, renew_at
from kumacp.identity.x509 import load_private_key, matches
from kumacp.xds.model import IdentityRequest
from kumamesh.resource import ResourceKey

NOW = datetime(2025, 3, 1, 12, 0, 0, tzinfo=UTC)
CA = create_ca("shop", now=NOW)
REQUEST = IdentityRequest(
    proxy=ResourceKey("Dataplane", "shop", "web-1"),
    mesh="shop",
    backend="ca-1",
    services=("web", "web-admin"),
    tags=(("kuma.io/service", "web"), ("kuma.io/service", "web-admin"), ("team", "a")),
    ca_version="1",
    lifetime_s=86_400.0,
)


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def uris(cert: x509.Certificate) -> list[str]:
    names = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return names.get_values_for_type(x509.UniformResourceIdentifier)


class TestRoot:
    root = certificate(CA.certificate)

    def test_subject_and_name(self) -> None:
        assert self.root.subject.rfc4514_string() == "CN=shop,OU=Mesh,O=Kuma"
        assert self.root.issuer == self.root.subject
        assert uris(self.root) == ["spiffe://shop"]

    def test_signs_itself_and_nothing_but_certificates(self) -> None:
        self.root.verify_directly_issued_by(self.root)
        usage = self.root.extensions.get_extension_for_class(x509.KeyUsage)
        constraints = self.root.extensions.get_extension_for_class(x509.BasicConstraints)
        assert usage.critical
        assert (usage.value.key_cert_sign, usage.value.crl_sign) == (True, True)
        assert (usage.value.key_agreement, usage.value.digital_signature) == (False, False)
        assert constraints.critical
        assert constraints.value.ca

    def test_key_and_life(self) -> None:
        key = self.root.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 2048
        assert self.root.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert self.root.not_valid_after_utc == NOW + timedelta(days=3650)
        assert matches(CA.certificate, CA.private_key)

    def test_options(self) -> None:
        root = certificate(create_ca("m", now=NOW, lifetime_s=3600, rsa_bits=1024).certificate)
        key = root.public_key()
        assert isinstance(key, rsa.RSAPublicKey)
        assert key.key_size == 1024
        assert root.not_valid_after_utc == NOW + timedelta(hours=1)

    def test_the_key_is_not_in_the_repr(self) -> None:
        assert "PRIVATE" not in repr(CA)


class TestIdentity:
    identity = issue_identity(CA, REQUEST, now=NOW)
    leaf = certificate(identity.certificate)

    def test_names_every_service_and_every_tag(self) -> None:
        assert uris(self.leaf) == [
            "spiffe://shop/web",
            "spiffe://shop/web-admin",
            "kuma://kuma.io/service/web",
            "kuma://kuma.io/service/web-admin",
            "kuma://team/a",
        ]

    def test_empty_subject_makes_the_names_critical(self) -> None:
        assert not list(self.leaf.subject)
        assert self.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical

    def test_signed_by_the_mesh(self) -> None:
        self.leaf.verify_directly_issued_by(certificate(CA.certificate))
        authority = self.leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        root_id = certificate(CA.certificate).extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        assert authority.key_identifier == root_id.value.digest

    def test_usage(self) -> None:
        usage = self.leaf.extensions.get_extension_for_class(x509.KeyUsage).value
        extended = self.leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert (usage.digital_signature, usage.key_encipherment, usage.key_agreement) == (True, True, True)
        assert not usage.key_cert_sign
        assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
        assert not self.leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca

    def test_key_types(self) -> None:
        key = load_private_key(self.identity.private_key)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        assert key.curve.name == "secp256r1"
        with_rsa = issue_identity(CA, REQUEST, now=NOW, key_type="rsa")
        assert isinstance(load_private_key(with_rsa.private_key), rsa.RSAPrivateKey)
        assert matches(with_rsa.certificate, with_rsa.private_key)

    def test_two_of_the_same_proxy_share_nothing(self) -> None:
        other = issue_identity(CA, REQUEST, now=NOW)
        assert other.private_key != self.identity.private_key
        assert certificate(other.certificate).serial_number != self.leaf.serial_number

    def test_life_and_renewal(self) -> None:
        assert self.identity.not_before == self.leaf.not_valid_before_utc == NOW - timedelta(minutes=5)
        assert self.identity.not_after == self.leaf.not_valid_after_utc == NOW + timedelta(days=1)
        assert renew_at(self.identity) == NOW + timedelta(days=1) * 0.8

    @pytest.mark.parametrize("lifetime_s", [0.5, 5.0, 30.0])
    def test_a_short_life_is_never_cut(self, lifetime_s: float) -> None:
        now = NOW + timedelta(milliseconds=700)
        request = IdentityRequest(REQUEST.proxy, "shop", "ca-1", ("web",), (), "1", lifetime_s)
        identity = issue_identity(CA, request, now=now)
        assert identity.not_after == certificate(identity.certificate).not_valid_after_utc
        assert identity.not_after >= now + timedelta(seconds=lifetime_s)
        assert now < renew_at(identity) < identity.not_after

    def test_a_proxy_that_serves_nothing_has_no_names(self) -> None:
        request = IdentityRequest(REQUEST.proxy, "shop", "ca-1", (), (), "1", 60.0)
        leaf = certificate(issue_identity(CA, request, now=NOW).certificate)
        with pytest.raises(x509.ExtensionNotFound):
            uris(leaf)

    def test_a_ca_that_cannot_be_read(self) -> None:
        with pytest.raises(ValueError):  # the text is the library's
            issue_identity(CertificateAuthority(b"", CA.private_key), REQUEST, now=NOW)
        with pytest.raises(ValueError):  # the text is the library's
            issue_identity(CertificateAuthority(CA.certificate, b"?"), REQUEST, now=NOW)
