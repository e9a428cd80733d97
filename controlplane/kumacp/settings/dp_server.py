"""What the data-plane server is told: bootstrap, xDS, health discovery (contract 1-3)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import Seconds, option


@dataclass(frozen=True)
class DpServerSettings:
    """`dpServer`, `bootstrapServer` and `xdsServer` of the file."""

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
    hds_enabled: bool = option(
        True,
        env="KUMA_DP_SERVER_HDS_ENABLED",
        key="dpServer.hds.enabled",
        help="Have sidecars check workloads (serviceProbe) and themselves: the state of inbounds follows",
    )
    hds_interval: Seconds = option(
        Seconds(5.0),
        env="KUMA_DP_SERVER_HDS_INTERVAL",
        key="dpServer.hds.interval",
        help="How often a sidecar reports what it found",
    )
    hds_refresh_interval: Seconds = option(
        Seconds(10.0),
        env="KUMA_DP_SERVER_HDS_REFRESH_INTERVAL",
        key="dpServer.hds.refreshInterval",
        help="Least time between two changes of what a sidecar checks; the first one is sent at once",
    )
    hds_check_interval: Seconds = option(
        Seconds(1.0),
        env="KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_INTERVAL",
        key="dpServer.hds.checkDefaults.interval",
        help="How often a workload with traffic is checked; Envoy goes by noTrafficInterval",
    )
    hds_check_timeout: Seconds = option(
        Seconds(2.0),
        env="KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_TIMEOUT",
        key="dpServer.hds.checkDefaults.timeout",
        help="How long a check may take",
    )
    hds_check_no_traffic_interval: Seconds = option(
        Seconds(1.0),
        env="KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_NO_TRAFFIC_INTERVAL",
        key="dpServer.hds.checkDefaults.noTrafficInterval",
        help="How often a workload is checked whose probe names no interval",
    )
    hds_check_healthy_threshold: int = option(
        1,
        env="KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_HEALTHY_THRESHOLD",
        key="dpServer.hds.checkDefaults.healthyThreshold",
        help="Checks in a row that must succeed before a workload is ready again",
    )
    hds_check_unhealthy_threshold: int = option(
        1,
        env="KUMA_DP_SERVER_HDS_CHECK_DEFAULTS_UNHEALTHY_THRESHOLD",
        key="dpServer.hds.checkDefaults.unhealthyThreshold",
        help="Checks in a row that must fail before a workload is not ready",
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
