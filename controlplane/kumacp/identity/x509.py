"""The few steps that every certificate here needs; RFC 5280 for the extensions."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
TEN_YEARS_S = 10 * 365 * 86_400.0
RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class CertificateAuthority:
    """A CA that signs; both PEM."""

    certificate: bytes
    private_key: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """A certificate chain and its key, both PEM, and when they are valid (UTC, whole seconds)."""

    certificate: bytes
    private_key: bytes = field(repr=False)
    not_before: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True)
class Profile:
    """What a certificate may be used for. An empty `names` leaves the extension out."""

    subject: x509.Name
    names: tuple[x509.GeneralName, ...]
    usage: x509.KeyUsage
    extended: tuple[x509.ObjectIdentifier, ...] = ()
    ca: bool = False


def sign(
    profile: Profile,
    key: PrivateKey,
    issuer: CertificateAuthority | None,
    *,
    now: datetime,
    backdate_s: float,
    lifetime_s: float,
) -> Identity:
    """A certificate for the key, signed by the issuer or, without one, by the key itself."""
    not_before = (now - timedelta(seconds=backdate_s)).replace(microsecond=0)
    # Times in certificates are whole seconds: rounding up never shortens a short life.
    not_after = (now + timedelta(seconds=lifetime_s, microseconds=999_999)).replace(microsecond=0)
    parent = load_certificate(issuer.certificate) if issuer else None
    signer = load_private_key(issuer.private_key) if issuer else key
    builder = (
        x509.CertificateBuilder()
        .subject_name(profile.subject)
        .issuer_name(parent.subject if parent else profile.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(x509.BasicConstraints(ca=profile.ca, path_length=None), critical=True)
        .add_extension(profile.usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
    )
    if profile.extended:
        builder = builder.add_extension(x509.ExtendedKeyUsage(profile.extended), critical=False)
    if profile.names:
        # RFC 5280 4.2.1.6: critical when the subject is empty.
        critical = not list(profile.subject)
        builder = builder.add_extension(x509.SubjectAlternativeName(profile.names), critical=critical)
    certificate = builder.sign(signer, hashes.SHA256())
    return Identity(
        certificate.public_bytes(serialization.Encoding.PEM), private_key_pem(key), not_before, not_after
    )


def new_rsa_key(bits: int = RSA_BITS) -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def new_ec_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def private_key_pem(key: PrivateKey) -> bytes:
    """PKCS#1 for RSA, SEC1 for EC: the forms that Go's TLS and OpenSSL both read."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )


@functools.lru_cache(maxsize=256)
def load_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of the text; raises ValueError."""
    return x509.load_pem_x509_certificate(pem)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """All certificates of the text, at least one; raises ValueError."""
    return x509.load_pem_x509_certificates(pem)


@functools.lru_cache(maxsize=256)
def load_private_key(pem: bytes) -> PrivateKey:
    """An RSA or EC key; raises ValueError. Kept, because reading an RSA key costs more than signing."""
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (TypeError, UnsupportedAlgorithm) as error:
        raise ValueError("the private key is encrypted or of an unknown kind") from error
    if not isinstance(key, PrivateKey):
        raise ValueError("the private key is neither RSA nor EC")
    return key


def matches(certificate_pem: bytes, private_key_pem: bytes) -> bool:
    """Whether the key belongs to the first certificate; raises ValueError when one cannot be read."""
    try:
        public = load_certificate(certificate_pem).public_key()
    except UnsupportedAlgorithm as error:
        raise ValueError("the certificate's key is of an unknown kind") from error
    return public == load_private_key(private_key_pem).public_key()


def key_usage(
    *,
    signature: bool = False,
    encipherment: bool = False,
    agreement: bool = False,
    cert_sign: bool = False,
    crl_sign: bool = False,
) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=signature,
        content_commitment=False,
        key_encipherment=encipherment,
        data_encipherment=False,
        key_agreement=agreement,
        key_cert_sign=cert_sign,
        crl_sign=crl_sign,
        encipher_only=False,
        decipher_only=False,
    )


def subject(*, organization: str = "", unit: str = "", common_name: str = "") -> x509.Name:
    parts = (
        (NameOID.ORGANIZATION_NAME, organization),
        (NameOID.ORGANIZATIONAL_UNIT_NAME, unit),
        (NameOID.COMMON_NAME, common_name),
    )
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in parts if value])


def uris(values: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    return tuple(x509.UniformResourceIdentifier(value) for value in values)


def hosts(values: Iterable[str]) -> tuple[x509.GeneralName, ...]:
    """IP addresses and DNS names, told apart by their form; each once."""
    return tuple(_host(value) for value in dict.fromkeys(values))


def _host(value: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(value))
    except ValueError:
        return x509.DNSName(value)
