"""The builtin CA of a mesh and the workload certificates it signs (contract 5.4; kuma-cp 7.2, 7.3)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal

from kumacp.identity import x509
from kumacp.identity.x509 import CertificateAuthority, Identity, Profile
from kumacp.xds.model import IdentityRequest
from kumamesh.names import service_spiffe_id, tag_id

__all__ = ["CertificateAuthority", "Identity", "KeyType", "create_ca", "issue_identity", "renew_at"]

KeyType = Literal["ec", "rsa"]

BACKDATE_S = 300
"""Peers whose clock is minutes behind accept a new certificate at once; Kuma's 10 s are soon used up."""
_RENEW_AFTER = 4 / 5


def create_ca(
    mesh: str, *, now: datetime, lifetime_s: float = x509.TEN_YEARS_S, rsa_bits: int = x509.RSA_BITS
) -> CertificateAuthority:
    """A self-signed root for the mesh; `now` in UTC."""
    profile = Profile(
        subject=x509.subject(organization="Kuma", unit="Mesh", common_name=mesh),
        names=x509.uris([f"spiffe://{mesh}"]),
        usage=x509.key_usage(cert_sign=True, crl_sign=True),
        ca=True,
    )
    key = x509.new_rsa_key(rsa_bits)
    root = x509.sign(profile, key, None, now=now, backdate_s=BACKDATE_S, lifetime_s=lifetime_s)
    return CertificateAuthority(root.certificate, root.private_key)


def issue_identity(
    ca: CertificateAuthority, request: IdentityRequest, *, now: datetime, key_type: KeyType = "ec"
) -> Identity:
    """A new key and certificate for the proxy; `now` in UTC. Raises ValueError when the CA cannot sign."""
    spiffe_ids = [service_spiffe_id(request.mesh, service) for service in request.services]
    tags = [tag_id(tag, value) for tag, value in request.tags]
    profile = Profile(
        subject=x509.subject(),
        names=x509.uris(dict.fromkeys(spiffe_ids + tags)),
        usage=x509.key_usage(signature=True, encipherment=True, agreement=True),
        extended=(x509.SERVER_AUTH, x509.CLIENT_AUTH),
    )
    key = x509.new_rsa_key() if key_type == "rsa" else x509.new_ec_key()
    return x509.sign(profile, key, ca, now=now, backdate_s=BACKDATE_S, lifetime_s=request.lifetime_s)


def renew_at(identity: Identity) -> datetime:
    """When 4/5 of the life since its issue are over."""
    issued = identity.not_before + timedelta(seconds=BACKDATE_S)
    return issued + (identity.not_after - issued) * _RENEW_AFTER
