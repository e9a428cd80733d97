"""Looks which certificate a server shows.

gRPC always checks certificates. Where the user wants any to be accepted, the one that the server shows is
looked at first and is then the only one that the connection accepts, under the name that it has.
"""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID


@dataclass(frozen=True, slots=True)
class Shown:
    """A certificate as PEM, and a name that it is good for; "" when it has none."""

    pem: bytes
    name: str


async def shown_by(host: str, port: int) -> Shown:
    """Raises OSError (which ssl.SSLError and TimeoutError are), ValueError for a certificate that cannot be
    read."""
    _, writer = await asyncio.open_connection(host, port)
    try:
        # By itself: a connection with TLS that is given up while it is made stays open for a while.
        await writer.start_tls(_trusting(), server_hostname=host)
        der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return Shown(ssl.DER_cert_to_PEM_cert(der).encode(), name_of(x509.load_der_x509_certificate(der)))


def name_of(certificate: x509.Certificate) -> str:
    """The first DNS name, else the first address, else the common name, which counts only without these."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = None
    if names is not None:
        dns = names.get_values_for_type(x509.DNSName)
        addresses = [str(address) for address in names.get_values_for_type(x509.IPAddress)]
        found = [*(name.replace("*", "any", 1) for name in dns), *addresses]
        if found:
            return found[0]
    common = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(common[0].value) if common else ""


def _trusting() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
