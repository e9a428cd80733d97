"""What sidecars trust and what they present, by SDS (contract 5.4)."""

from __future__ import annotations

from typing import Any

from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2

from kumacp.xds.build.messages import inline
from kumacp.xds.model import CaSecret, IdentitySecret


def ca_secret(unit: CaSecret) -> Any:
    return secret_pb2.Secret(
        name=unit.name,
        validation_context=common_pb2.CertificateValidationContext(trusted_ca=inline(unit.ca)),
    )


def identity_secret(unit: IdentitySecret) -> Any:
    return secret_pb2.Secret(
        name=unit.name,
        tls_certificate=common_pb2.TlsCertificate(
            certificate_chain=inline(unit.certificate), private_key=inline(unit.private_key)
        ),
    )
