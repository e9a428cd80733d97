"""Clusters and what they demand of the peer."""

from __future__ import annotations

from typing import Any

import pytest
from envoy.config.cluster.v3 import cluster_pb2
from envoy.extensions.transport_sockets.tls.v3 import tls_pb2
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2

from kumacp.xds.build import build
from kumacp.xds.model import LocalCluster, ReadinessCluster, ServiceCluster, UnitInput

OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


def cluster(unit: UnitInput) -> Any:
    return cluster_pb2.Cluster.FromString(build(unit).body)


def http_version(made: Any) -> str | None:
    """The protocol it insists on; None if it knows nothing of HTTP."""
    if OPTIONS not in made.typed_extension_protocol_options:
        return None
    options = http_protocol_options_pb2.HttpProtocolOptions()
    assert made.typed_extension_protocol_options[OPTIONS].Unpack(options)
    chosen: str = options.explicit_http_config.WhichOneof("protocol_config")
    return chosen


@pytest.mark.parametrize(
    ("protocol", "to_peer", "to_application"),
    [
        ("tcp", None, None),
        ("kafka", None, None),
        ("http", "http2_protocol_options", "http_protocol_options"),
        ("http2", "http2_protocol_options", "http2_protocol_options"),
        ("grpc", "http2_protocol_options", "http2_protocol_options"),
    ],
)
def test_http_version_to_peer_and_application(
    protocol: str, to_peer: str | None, to_application: str | None
) -> None:
    assert http_version(cluster(ServiceCluster("m", "s", protocol, tls=False))) == to_peer
    assert http_version(cluster(LocalCluster("127.0.0.1", 80, protocol))) == to_application


def test_service_cluster_has_the_default_limits() -> None:
    made = cluster(ServiceCluster("m", "s", "tcp", tls=False))
    limits = made.circuit_breakers.thresholds[0]
    found = [limits.max_connections, limits.max_pending_requests, limits.max_requests, limits.max_retries]
    assert [one.value for one in found] == [1024, 1024, 1024, 1024]
    assert made.connect_timeout.seconds == 5
    assert made.eds_cluster_config.eds_config.HasField("ads")


def test_without_tls_there_is_no_socket() -> None:
    assert not cluster(ServiceCluster("m", "s", "tcp", tls=False)).HasField("transport_socket")


def test_tls_demands_exactly_the_service() -> None:
    made = cluster(ServiceCluster("mesh-1", "backend", "tcp", tls=True, tags=(("version", "v1"),)))
    context = tls_pb2.UpstreamTlsContext()
    assert made.transport_socket.typed_config.Unpack(context)
    common = context.common_tls_context
    assert context.sni == "backend{mesh=mesh-1,version=v1}"
    assert list(common.alpn_protocols) == ["kuma"]
    validation = common.combined_validation_context
    names = validation.default_validation_context.match_typed_subject_alt_names
    assert [(one.san_type, one.matcher.exact) for one in names] == [(3, "spiffe://mesh-1/backend")]
    assert validation.validation_context_sds_secret_config.name == "mesh_ca:secret:mesh-1"
    assert [one.name for one in common.tls_certificate_sds_secret_configs] == ["identity_cert:secret:mesh-1"]


def test_readiness_is_a_pipe_or_a_port() -> None:
    def endpoint(unit: ReadinessCluster) -> Any:
        return cluster(unit).load_assignment.endpoints[0].lb_endpoints[0].endpoint.address

    assert endpoint(ReadinessCluster("/run/ready.sock", "", 0)).pipe.path == "/run/ready.sock"
    socket_address = endpoint(ReadinessCluster("", "127.0.0.1", 9902)).socket_address
    assert (socket_address.address, socket_address.port_value) == ("127.0.0.1", 9902)
