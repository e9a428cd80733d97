"""Certificates with which only the control plane reaches the admin endpoint of a proxy (contract 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from kumacp.identity import x509
from kumacp.identity.x509 import CertificateAuthority, Identity, Profile
from kumacp.xds.model import AdminTls

ADMIN_CA_SECRET = "envoy-admin-ca"  # noqa: S105
"""The GlobalSecret that holds the CA."""
CLIENT_NAME = "kuma-cp"

_BACKDATE_S = 300
_KEY_MARK = b"PRIVATE KEY-----"


def create_admin_ca(now: datetime) -> CertificateAuthority:
    """The root of all admin certificates; `now` in UTC."""
    profile = Profile(
        subject=x509.subject(organization="Kuma", unit="Mesh", common_name="Envoy Admin CA"),
        names=(),
        usage=x509.key_usage(cert_sign=True, crl_sign=True),
        ca=True,
    )
    root = _sign(profile, None, now)
    return CertificateAuthority(root.certificate, root.private_key)


def to_secret_data(ca: CertificateAuthority) -> bytes:
    """Certificate and key in one PEM text."""
    return ca.certificate + ca.private_key


def from_secret_data(data: bytes) -> CertificateAuthority:
    """The CA from the data of its GlobalSecret; raises ValueError."""
    certificate, key = b"", b""
    for block in _pem_blocks(data):
        if _KEY_MARK in block:
            key = block
        else:
            certificate += block
    if not certificate or not key or not x509.matches(certificate, key):
        raise ValueError(
            f"the secret {ADMIN_CA_SECRET} must hold a certificate and its private key, both PEM"
        )
    return CertificateAuthority(certificate, key)


def issue_admin_server(ca: CertificateAuthority, addresses: Sequence[str], *, now: datetime) -> Identity:
    """What the admin listener of the proxy with these addresses presents."""
    profile = Profile(
        subject=x509.subject(),
        names=x509.hosts(addresses),
        usage=x509.key_usage(signature=True, encipherment=True, agreement=True),
        extended=(x509.SERVER_AUTH,),
    )
    return _sign(profile, ca, now)


def issue_admin_client(ca: CertificateAuthority, *, now: datetime) -> Identity:
    """What the control plane presents to admin listeners."""
    profile = Profile(
        subject=x509.subject(),
        names=x509.hosts([CLIENT_NAME]),
        usage=x509.key_usage(signature=True, encipherment=True, agreement=True),
        extended=(x509.CLIENT_AUTH,),
    )
    return _sign(profile, ca, now)


def admin_tls(ca: CertificateAuthority, addresses: Sequence[str], *, now: datetime) -> AdminTls:
    """All that the admin listener of one proxy needs."""
    server = issue_admin_server(ca, addresses, now=now)
    return AdminTls(server.certificate, server.private_key, ca.certificate)


def _sign(profile: Profile, ca: CertificateAuthority | None, now: datetime) -> Identity:
    key = x509.new_rsa_key() if ca is None else x509.new_ec_key()
    return x509.sign(profile, key, ca, now=now, backdate_s=_BACKDATE_S, lifetime_s=x509.TEN_YEARS_S)


def _pem_blocks(data: bytes) -> list[bytes]:
    lines, blocks = data.splitlines(keepends=True), [b""]
    for line in lines:
        blocks[-1] += line
        if line.startswith(b"-----END"):
            blocks.append(b"")
    return [block.strip() + b"\n" for block in blocks if block.strip()]
