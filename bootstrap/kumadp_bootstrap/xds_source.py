"""Where Envoy gets its configuration from: ADS and HDS of the control plane (contract 2.2)."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap.params import BootstrapParams
from kumamesh.names import format_address

_FILE_CREDENTIALS = "envoy.grpc_credentials.file_based_metadata"
_CHANNEL_ARGS = {
    "grpc.keepalive_time_ms": 10_000,
    "grpc.keepalive_timeout_ms": 30_000,
    "grpc.http2.max_pings_without_data": 0,
}


def dynamic_resources(params: BootstrapParams) -> dict[str, Any]:
    # Envoy waits for the first listeners and clusters as long as it takes: without them it serves nothing.
    from_ads = {"ads": {}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
    return {
        "lds_config": from_ads,
        "cds_config": from_ads,
        "ads_config": _api_source(params, "DELTA_GRPC" if params.delta else "GRPC"),
    }


def hds_config(params: BootstrapParams) -> dict[str, Any]:
    return _api_source(params, "GRPC")


def uses_google_grpc(params: BootstrapParams) -> bool:
    """Google's client alone reads a token file anew for every stream."""
    return params.reloadable_token and bool(params.token_path)


def ads_cluster_name(params: BootstrapParams) -> str:
    return "system_ads" if params.unified_names else "ads_cluster"


def _api_source(params: BootstrapParams, api_type: str) -> dict[str, Any]:
    service = _google_grpc(params) if uses_google_grpc(params) else _envoy_grpc(params)
    return {
        "api_type": api_type,
        "transport_api_version": "V3",
        "set_node_on_first_message_only": True,
        "grpc_services": [service],
    }


def _envoy_grpc(params: BootstrapParams) -> dict[str, Any]:
    service: dict[str, Any] = {"envoy_grpc": {"cluster_name": ads_cluster_name(params)}}
    if params.token:
        service["initial_metadata"] = [{"key": "authorization", "value": params.token}]
    return service


def _google_grpc(params: BootstrapParams) -> dict[str, Any]:
    credentials = {
        "@type": "type.googleapis.com/envoy.config.grpc_credential.v3.FileBasedMetadataConfig",
        "secret_data": {"filename": params.token_path},
    }
    return {
        "google_grpc": {
            "target_uri": format_address(params.xds_host, params.xds_port),
            "stat_prefix": "ads",
            "credentials_factory_name": _FILE_CREDENTIALS,
            "call_credentials": [{"from_plugin": {"name": _FILE_CREDENTIALS, "typed_config": credentials}}],
            "channel_credentials": {"ssl_credentials": {"root_certs": {"inline_string": params.ca_pem}}},
            "channel_args": {"args": {name: {"int_value": value} for name, value in _CHANNEL_ARGS.items()}},
        }
    }
