"""Transport sockets: mTLS of the mesh by SDS, and of the admin listener inline (contract 3.7, 5.4)."""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from kumacp.xds.build.messages import from_ads, inline, pack
from kumacp.xds.model import AdminTls, ServiceCluster
from kumamesh import names, sni

ALPN = "kuma"
"""Offered by sidecars only; tells mesh TLS from TLS of the application."""

ADMIN_CLIENT = "kuma-cp"
"""DNS SAN of the control plane's client certificate."""

_San = common_pb2.SubjectAltNameMatcher


def downstream(mesh: str) -> Any:
    """Socket of an inbound: any client with an identity of the mesh. RBAC says which of them."""
    prefix = string_pb2.StringMatcher(prefix=names.mesh_spiffe_prefix(mesh))
    return _socket(
        tls_pb2.DownstreamTlsContext(
            common_tls_context=_mesh_context(mesh, prefix),
            require_client_certificate=BoolValue(value=True),
        )
    )


def upstream(cluster: ServiceCluster) -> Any:
    """Socket of an outbound: exactly the service that was meant answers."""
    server = string_pb2.StringMatcher(exact=names.service_spiffe_id(cluster.mesh, cluster.service))
    context = _mesh_context(cluster.mesh, server)
    context.alpn_protocols.append(ALPN)
    tags = {names.SERVICE_TAG: cluster.service, **dict(cluster.tags)}
    return _socket(
        tls_pb2.UpstreamTlsContext(common_tls_context=context, sni=sni.tags_sni(tags, cluster.mesh))
    )


def admin(tls: AdminTls) -> Any:
    client = _San(san_type=_San.DNS, matcher=string_pb2.StringMatcher(exact=ADMIN_CLIENT))
    context = tls_pb2.CommonTlsContext(
        tls_certificates=[
            common_pb2.TlsCertificate(
                certificate_chain=inline(tls.certificate), private_key=inline(tls.private_key)
            )
        ],
        validation_context=common_pb2.CertificateValidationContext(
            trusted_ca=inline(tls.client_ca), match_typed_subject_alt_names=[client]
        ),
    )
    return _socket(
        tls_pb2.DownstreamTlsContext(
            common_tls_context=context, require_client_certificate=BoolValue(value=True)
        )
    )


def _mesh_context(mesh: str, peer: Any) -> Any:
    validation = tls_pb2.CommonTlsContext.CombinedCertificateValidationContext(
        default_validation_context=common_pb2.CertificateValidationContext(
            match_typed_subject_alt_names=[_San(san_type=_San.URI, matcher=peer)]
        ),
        validation_context_sds_secret_config=_sds(names.mesh_ca_secret(mesh)),
    )
    return tls_pb2.CommonTlsContext(
        combined_validation_context=validation,
        tls_certificate_sds_secret_configs=[_sds(names.identity_secret(mesh))],
    )


def _sds(name: str) -> Any:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=from_ads())


def _socket(context: Any) -> Any:
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
