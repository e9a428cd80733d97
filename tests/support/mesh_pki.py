"""A certificate authority of a mesh and identities it signs, for tests that need real certificates."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class Pki:
    mesh: str
    ca: bytes
    key: ec.EllipticCurvePrivateKey

    @classmethod
    def create(cls, mesh: str) -> Pki:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(_name(mesh), _name(mesh), key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        return cls(mesh, certificate.public_bytes(Encoding.PEM), key)

    def identity(self, *services: str, **tags: str) -> tuple[bytes, bytes]:
        """(certificate, key) in PEM; SANs as contract 5.4 wants them, the services first."""
        uris = [f"spiffe://{self.mesh}/{service}" for service in services]
        uris += [f"kuma://{tag}/{value}" for tag, value in tags.items()]
        return self._signed([x509.UniformResourceIdentifier(uri) for uri in uris])

    def server(self, *names: str) -> tuple[bytes, bytes]:
        """(certificate, key) in PEM of a server with these DNS names."""
        return self._signed([x509.DNSName(name) for name in names])

    def _signed(self, names: list[x509.GeneralName]) -> tuple[bytes, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _builder(x509.Name([]), _name(self.mesh), key)
            .add_extension(x509.SubjectAlternativeName(names), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return certificate.public_bytes(Encoding.PEM), private


def _name(mesh: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, mesh)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=1))
        .not_valid_after(now + timedelta(hours=1))
    )
