"""Self-signed certificates for servers and clients (contract 7.4)."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

SERVER, CLIENT = "server", "client"
RSA, ECDSA = "rsa", "ecdsa"
LIFETIME = timedelta(days=10 * 365)
RSA_BITS = 2048

_BACKDATE = timedelta(minutes=5)
_MAX_COMMON_NAME = 64

Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


def self_signed(hostnames: Sequence[str], *, kind: str, key_type: str, now: datetime) -> tuple[bytes, bytes]:
    """(key, certificate), PEM, for one or more names or addresses. The certificate of a server is a CA too,
    so that proxies can be given it as the one to trust. Raises ValueError for what is no host."""
    names = [_general_name(hostname) for hostname in hostnames]
    key: Key
    if key_type == RSA:
        key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Kuma"),
            x509.NameAttribute(NameOID.COMMON_NAME, hostnames[0][:_MAX_COMMON_NAME]),
        ]
    )
    use = ExtendedKeyUsageOID.SERVER_AUTH if kind == SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # The clock of whoever checks it may be behind.
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + LIFETIME)
        .add_extension(x509.BasicConstraints(ca=kind == SERVER, path_length=None), critical=True)
        .add_extension(_usage(ca=kind == SERVER), critical=True)
        .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), certificate.public_bytes(serialization.Encoding.PEM)


def _general_name(hostname: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(hostname))
    except ValueError:
        pass
    try:
        return x509.DNSName(_ascii(hostname))
    except ValueError:
        raise ValueError(f"{hostname!r} is neither a host name nor an IP address") from None


def _ascii(hostname: str) -> str:
    """The name as certificates have it; raises ValueError."""
    name = hostname.encode("idna").decode()
    if not name or any(letter.isspace() or not letter.isprintable() or letter in "/:@" for letter in name):
        raise ValueError
    return name


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=True,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_pem(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    )
