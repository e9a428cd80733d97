"""What Envoy must know before the control plane tells it anything (contract 2.3)."""

from __future__ import annotations

import ipaddress
from typing import Any

from kumadp_bootstrap import paths
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.xds_source import ads_cluster_name, uses_google_grpc

VALIDATION_SECRET = "cp_validation_ctx"  # noqa: S105  # a name

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_UPSTREAM_TLS = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"
_CONNECT_TIMEOUT = "1s"


def static_resources(params: BootstrapParams) -> dict[str, Any]:
    clusters = [_access_log_sink(params)]
    if uses_google_grpc(params):
        return {"clusters": clusters}
    return {"clusters": [_ads_cluster(params), *clusters], "secrets": [_validation_secret(params)]}


def http2_options() -> dict[str, Any]:
    """For clusters that speak HTTP/2 with prior knowledge."""
    return {
        _HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}",
            "explicit_http_config": {"http2_protocol_options": {}},
        }
    }


def pipe_cluster(name: str, path: str) -> dict[str, Any]:
    """An HTTP/2 cluster behind a Unix socket."""
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": _CONNECT_TIMEOUT,
        "typed_extension_protocol_options": http2_options(),
        "load_assignment": _assignment(name, {"pipe": {"path": path}}),
    }


def _access_log_sink(params: BootstrapParams) -> dict[str, Any]:
    name = "system_access_log_sink" if params.unified_names else "access_log_sink"
    return pipe_cluster(name, paths.access_log(params.workdir, params.name, params.mesh))


def _ads_cluster(params: BootstrapParams) -> dict[str, Any]:
    name = ads_cluster_name(params)
    address = {"socket_address": {"address": params.xds_host, "port_value": params.xds_port}}
    cluster = {
        "name": name,
        "type": "STATIC" if _is_ip(params.xds_host) else "STRICT_DNS",
        "connect_timeout": _CONNECT_TIMEOUT,
        "typed_extension_protocol_options": http2_options(),
        "upstream_connection_options": {
            "tcp_keepalive": {"keepalive_probes": 3, "keepalive_time": 10, "keepalive_interval": 10}
        },
        "transport_socket": {"name": "envoy.transport_sockets.tls", "typed_config": _tls(params)},
        "load_assignment": _assignment(name, address),
    }
    if params.xds_ipv4_only:
        cluster["dns_lookup_family"] = "V4_ONLY"
    return cluster


def _tls(params: BootstrapParams) -> dict[str, Any]:
    return {
        "@type": _UPSTREAM_TLS,
        "sni": params.xds_host,
        "common_tls_context": {
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            # Without an sds_config the name means a secret of the bootstrap.
            "validation_context_sds_secret_config": {"name": VALIDATION_SECRET},
        },
    }


def _validation_secret(params: BootstrapParams) -> dict[str, Any]:
    exact_host = {"exact": params.xds_host}
    return {
        "name": VALIDATION_SECRET,
        "validation_context": {
            "trusted_ca": {"inline_string": params.ca_pem},
            "match_typed_subject_alt_names": [
                {"san_type": "DNS", "matcher": exact_host},
                {"san_type": "IP_ADDRESS", "matcher": exact_host},
            ],
        },
    }


def _assignment(name: str, address: dict[str, Any]) -> dict[str, Any]:
    return {
        "cluster_name": name,
        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
    }


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
