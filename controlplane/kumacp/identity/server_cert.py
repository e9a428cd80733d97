"""The control plane's own TLS certificate, when the operator gives none (contract 2.5; kuma-cp 1.6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from cryptography import x509 as certificates

from kumacp.identity import x509
from kumacp.identity.x509 import Profile

_BACKDATE_S = 300


class SubjectNames(NamedTuple):
    """Whom a certificate is valid for; IP addresses in their shortest form."""

    dns: tuple[str, ...]
    ips: tuple[str, ...]


def create_server_certificate(hostname: str, ips: Sequence[str], now: datetime) -> tuple[bytes, bytes]:
    """(certificate, key), PEM: self-signed and a CA, so that the file also serves as `--ca-cert-file`."""
    profile = Profile(
        # Kuma leaves the subject empty, which strict verifiers (Python 3.13's default) refuse in an issuer.
        subject=x509.subject(organization="Kuma", common_name="kuma-cp"),
        names=x509.hosts([*_usable(hostname), "localhost", *ips]),
        usage=x509.key_usage(signature=True, encipherment=True, cert_sign=True),
        extended=(x509.SERVER_AUTH,),
        ca=True,
    )
    made = x509.sign(
        profile,
        x509.new_rsa_key(),
        None,
        now=now,
        backdate_s=_BACKDATE_S,
        lifetime_s=x509.TEN_YEARS_S,
    )
    return made.certificate, made.private_key


def subject_names(cert_pem: bytes) -> SubjectNames:
    """SANs of the first certificate; raises ValueError when there is none to read."""
    try:
        names = (
            x509.load_certificate(cert_pem)
            .extensions.get_extension_for_class(certificates.SubjectAlternativeName)
            .value
        )
    except certificates.ExtensionNotFound:
        return SubjectNames((), ())
    return SubjectNames(
        tuple(names.get_values_for_type(certificates.DNSName)),
        tuple(str(address) for address in names.get_values_for_type(certificates.IPAddress)),
    )


def is_ca(cert_pem: bytes) -> bool:
    """Whether the first certificate may be trusted as a CA: only basic constraints that say no forbid it.
    Raises ValueError when there is none to read."""
    try:
        constraints = x509.load_certificate(cert_pem).extensions.get_extension_for_class(
            certificates.BasicConstraints
        )
    except certificates.ExtensionNotFound:
        return True
    return constraints.value.ca


def _usable(hostname: str) -> list[str]:
    """A host may be called anything; a DNS name in a certificate is ASCII."""
    return [hostname] if hostname and hostname.isascii() else []
