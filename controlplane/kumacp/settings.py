"""The control plane's options, named as Kuma 2.13 names them (kuma-cp 1; contract 10.1)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import Seconds, option


@dataclass(frozen=True, slots=True)
class CpSettings:
    """Everything that `kuma-cp run` can be told."""

    mode: str = option(
        "zone",
        env="KUMA_MODE",
        key="mode",
        help="zone, or global; standalone and remote are old names of zone",
    )
    environment: str = option(
        "universal",
        env="KUMA_ENVIRONMENT",
        key="environment",
        choices=("universal",),
        help="Where workloads run",
    )
    zone_name: str = option(
        "default",
        env="KUMA_MULTIZONE_ZONE_NAME",
        key="multizone.zone.name",
        help="Name of this zone",
    )
    zone_global_address: str = option(
        "",
        env="KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS",
        key="multizone.zone.globalAddress",
        help="grpcs://host:5685 of the global control plane; empty: this zone stands alone",
    )
    work_dir: Path = option(
        Path("~/.kuma"),
        env="KUMA_GENERAL_WORK_DIR",
        key="general.workDir",
        help="Where the certificate and the SQLite database live",
    )
    tls_cert_file: Path | None = option(
        None,
        env="KUMA_GENERAL_TLS_CERT_FILE",
        key="general.tlsCertFile",
        help="PEM certificate of all servers; made in the work dir when not given",
    )
    tls_key_file: Path | None = option(
        None,
        env="KUMA_GENERAL_TLS_KEY_FILE",
        key="general.tlsKeyFile",
        help="PEM key of that certificate",
    )
    log_level: str = option(
        "info",
        flag="log-level",
        env="KUMA_LOG_LEVEL",
        key="general.logLevel",
        choices=("off", "info", "debug"),
        help="How much is logged",
    )
    log_format: str = option(
        "text",
        flag="log-format",
        env="KUMA_LOG_FORMAT",
        key="general.logFormat",
        choices=("text", "json"),
        help="How log lines are written",
    )
    store_type: str = option(
        "sqlite",
        env="KUMA_STORE_TYPE",
        key="store.type",
        choices=("sqlite", "memory"),
        help="Where resources are kept",
    )
    api_http_enabled: bool = option(
        True,
        env="KUMA_API_SERVER_HTTP_ENABLED",
        key="apiServer.http.enabled",
        help="Serve REST over HTTP",
    )
    api_http_interface: str = option(
        "0.0.0.0",
        env="KUMA_API_SERVER_HTTP_INTERFACE",
        key="apiServer.http.interface",
        help="Address the REST API listens on",
    )
    api_http_port: int = option(
        5681,
        env="KUMA_API_SERVER_HTTP_PORT",
        key="apiServer.http.port",
        help="REST over HTTP",
    )
    api_https_enabled: bool = option(
        True,
        env="KUMA_API_SERVER_HTTPS_ENABLED",
        key="apiServer.https.enabled",
        help="Serve REST over HTTPS",
    )
    api_https_interface: str = option(
        "0.0.0.0",
        env="KUMA_API_SERVER_HTTPS_INTERFACE",
        key="apiServer.https.interface",
        help="Address the REST API listens on with TLS",
    )
    api_https_port: int = option(
        5682,
        env="KUMA_API_SERVER_HTTPS_PORT",
        key="apiServer.https.port",
        help="REST over HTTPS",
    )
    api_localhost_is_admin: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_LOCALHOST_IS_ADMIN",
        key="apiServer.authn.localhostIsAdmin",
        help="Requests from the same host need no token",
    )
    api_bootstrap_admin_token: bool = option(
        True,
        env="KUMA_API_SERVER_AUTHN_TOKENS_BOOTSTRAP_ADMIN_TOKEN",
        key="apiServer.authn.tokens.bootstrapAdminToken",
        help="Make the secret admin-user-token at first start",
    )
    dp_server_port: int = option(
        5678,
        env="KUMA_DP_SERVER_PORT",
        key="dpServer.port",
        help="Bootstrap and xDS, one TLS port",
    )
    dp_server_tls_cert_file: Path | None = option(
        None,
        env="KUMA_DP_SERVER_TLS_CERT_FILE",
        key="dpServer.tlsCertFile",
        help="PEM certificate of the data-plane server; default: general.tlsCertFile",
    )
    dp_server_tls_key_file: Path | None = option(
        None,
        env="KUMA_DP_SERVER_TLS_KEY_FILE",
        key="dpServer.tlsKeyFile",
        help="PEM key of that certificate",
    )
    dp_proxy_auth: str = option(
        "dpToken",
        env="KUMA_DP_SERVER_AUTHN_DP_PROXY_TYPE",
        key="dpServer.authn.dpProxy.type",
        choices=("dpToken", "none"),
        help="How sidecars prove who they are",
    )
    dp_token_validator_use_secrets: bool = option(
        True,
        env="KUMA_DP_SERVER_AUTHN_DP_PROXY_DP_TOKEN_VALIDATOR_USE_SECRETS",
        key="dpServer.authn.dpProxy.dpToken.validator.useSecrets",
        help="Accept tokens signed by the signing keys in Secrets",
    )
    dp_token_issuer: bool = option(
        True,
        env="KUMA_DP_SERVER_AUTHN_DP_PROXY_DP_TOKEN_ENABLE_ISSUER",
        key="dpServer.authn.dpProxy.dpToken.enableIssuer",
        help="Serve POST /tokens/dataplane",
    )
    dp_token_public_keys: tuple[str, ...] = option(
        (),
        env="KUMADP_DP_TOKEN_VALIDATOR_PUBLIC_KEYS",
        key="dpServer.authn.dpProxy.dpToken.validator.publicKeyFiles",
        help="Public keys for tokens signed offline, each as KID=/path/to/key.pem",
    )
    zone_proxy_auth: str = option(
        "zoneToken",
        env="KUMA_DP_SERVER_AUTHN_ZONE_PROXY_TYPE",
        key="dpServer.authn.zoneProxy.type",
        choices=("zoneToken", "none"),
        help="How zone ingresses and egresses prove who they are",
    )
    zone_token_issuer: bool = option(
        True,
        env="KUMA_DP_SERVER_AUTHN_ZONE_PROXY_ZONE_TOKEN_ENABLE_ISSUER",
        key="dpServer.authn.zoneProxy.zoneToken.enableIssuer",
        help="Serve POST /tokens/zone",
    )
    diagnostics_port: int = option(
        5680,
        env="KUMA_DIAGNOSTICS_SERVER_PORT",
        key="diagnostics.serverPort",
        help="/ready, /healthy, /metrics",
    )
    diagnostics_interface: str = option(
        "0.0.0.0",
        env="KUMADP_DIAGNOSTICS_SERVER_INTERFACE",
        key="diagnostics.serverInterface",
        help="Address the diagnostics listen on",
    )
    bootstrap_admin_port: int = option(
        9901,
        env="KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_PORT",
        key="bootstrapServer.params.adminPort",
        help="Envoy's admin port when the resource names none",
    )
    bootstrap_admin_address: str = option(
        "127.0.0.1",
        env="KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_ADDRESS",
        key="bootstrapServer.params.adminAddress",
        help="Address of Envoy's admin",
    )
    bootstrap_admin_access_log_path: str = option(
        "/dev/null",
        env="KUMA_BOOTSTRAP_SERVER_PARAMS_ADMIN_ACCESS_LOG_PATH",
        key="bootstrapServer.params.adminAccessLogPath",
        help="Where Envoy logs admin requests",
    )
    bootstrap_xds_host: str = option(
        "",
        env="KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_HOST",
        key="bootstrapServer.params.xdsHost",
        help="Host that proxies dial; default: the host they asked for the bootstrap",
    )
    bootstrap_xds_port: int = option(
        0,
        env="KUMA_BOOTSTRAP_SERVER_PARAMS_XDS_PORT",
        key="bootstrapServer.params.xdsPort",
        help="Port that proxies dial; default: the data-plane server's",
    )
    deregistration_delay: Seconds = option(
        Seconds(10.0),
        env="KUMA_XDS_DATAPLANE_DEREGISTRATION_DELAY",
        key="xdsServer.dataplaneDeregistrationDelay",
        help="How long a proxy may be gone before it is removed",
    )
    status_flush_interval: Seconds = option(
        Seconds(10.0),
        env="KUMA_XDS_SERVER_DATAPLANE_STATUS_FLUSH_INTERVAL",
        key="xdsServer.dataplaneStatusFlushInterval",
        help="How often counters of proxies are written",
    )
    nack_backoff: Seconds = option(
        Seconds(5.0),
        env="KUMA_XDS_SERVER_NACK_BACKOFF",
        key="xdsServer.nackBackoff",
        help="Pause before the next response of a type that Envoy refused",
    )
    skip_mesh_creation: bool = option(
        False,
        env="KUMA_DEFAULTS_SKIP_MESH_CREATION",
        key="defaults.skipMeshCreation",
        help="Do not make the mesh default at first start",
    )
    create_mesh_routing_resources: bool = option(
        True,
        env="KUMA_DEFAULTS_CREATE_MESH_ROUTING_RESOURCES",
        key="defaults.createMeshRoutingResources",
        help="Give a new mesh the permission allow-all-<mesh>",
    )
    unsafe_delete: bool = option(
        False,
        env="KUMA_STORE_UNSAFE_DELETE",
        key="store.unsafeDelete",
        help="Delete meshes that still have data planes",
    )
