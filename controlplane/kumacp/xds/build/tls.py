"""Transport sockets: mTLS of the mesh by SDS, of the admin listener and to servers outside the mesh inline
(contract 3.7, 5.4, 5.8)."""

from __future__ import annotations

from typing import Any

from envoy.config.core.v3 import base_pb2
from envoy.extensions.transport_sockets.tls.v3 import common_pb2, secret_pb2, tls_pb2
from envoy.type.matcher.v3 import string_pb2
from google.protobuf.wrappers_pb2 import BoolValue

from kumacp.xds.build.messages import from_ads, inline, pack
from kumacp.xds.model import AdminTls, ServiceCluster
from kumacp.xds.outside import ExternalTls
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
    """Socket of an outbound: exactly the service that was meant answers, or the peer that stands before it. A
    server name that is too long is left out: sidecars do without, and an ingress is not asked for it."""
    identity = names.service_spiffe_id(cluster.mesh, cluster.peer or cluster.service)
    server = string_pb2.StringMatcher(exact=identity)
    context = _mesh_context(cluster.mesh, server)
    context.alpn_protocols.append(ALPN)
    server_name = sni.tags_sni({names.SERVICE_TAG: cluster.service, **dict(cluster.tags)}, cluster.mesh)
    if not sni.fits(server_name):
        server_name = ""
    return _socket(tls_pb2.UpstreamTlsContext(common_tls_context=context, sni=server_name))


def upstream_to_any(mesh: str) -> Any:
    """Socket to an instance that is known by its address only: anybody of the mesh answers."""
    context = _mesh_context(mesh, string_pb2.StringMatcher(prefix=names.mesh_spiffe_prefix(mesh)))
    context.alpn_protocols.append(ALPN)
    return _socket(tls_pb2.UpstreamTlsContext(common_tls_context=context))


def external(tls: ExternalTls, system_ca: str) -> Any:
    """Socket to a server outside the mesh. Only where no authority is known at all, neither by the resource
    nor by the host of the proxy, the server is not verified."""
    context = tls_pb2.CommonTlsContext()
    if tls.certificate:
        context.tls_certificates.append(_certificate(tls.certificate, tls.private_key))
    if tls.ca or system_ca:
        authority = inline(tls.ca) if tls.ca else base_pb2.DataSource(filename=system_ca)
        name = string_pb2.StringMatcher(exact=tls.expected)
        context.validation_context.CopyFrom(
            common_pb2.CertificateValidationContext(
                trusted_ca=authority,
                match_typed_subject_alt_names=[
                    _San(san_type=kind, matcher=name) for kind in (_San.DNS, _San.IP_ADDRESS) if tls.expected
                ],
            )
        )
    return _socket(
        tls_pb2.UpstreamTlsContext(
            common_tls_context=context, sni=tls.server_name, allow_renegotiation=tls.allow_renegotiation
        )
    )


def admin(tls: AdminTls) -> Any:
    client = _San(san_type=_San.DNS, matcher=string_pb2.StringMatcher(exact=ADMIN_CLIENT))
    context = tls_pb2.CommonTlsContext(
        tls_certificates=[_certificate(tls.certificate, tls.private_key)],
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


def _certificate(chain: bytes, private_key: bytes) -> Any:
    return common_pb2.TlsCertificate(certificate_chain=inline(chain), private_key=inline(private_key))


def _sds(name: str) -> Any:
    return secret_pb2.SdsSecretConfig(name=name, sds_config=from_ads())


def _socket(context: Any) -> Any:
    return base_pb2.TransportSocket(name="envoy.transport_sockets.tls", typed_config=pack(context))
