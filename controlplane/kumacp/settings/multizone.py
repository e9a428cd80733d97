"""What a global control plane and the zones that join it are told (contract 8.1, kuma-cp 1.7, 6.5, 6.6)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import Seconds, option

DEFAULT_ZONE = "default"
MAX_MESSAGE_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True)
class GlobalSettings:
    """`multizone.global` of the file; of no use to a zone."""

    kds_grpc_port: int = option(
        5685,
        env="KUMA_MULTIZONE_GLOBAL_KDS_GRPC_PORT",
        key="multizone.global.kds.grpcPort",
        help="Port that zones dial",
    )
    kds_tls_enabled: bool = option(
        True,
        env="KUMA_MULTIZONE_GLOBAL_KDS_TLS_ENABLED",
        key="multizone.global.kds.tlsEnabled",
        help="Serve zones over TLS; without it they dial grpc:// and secrets pass in plain text",
    )
    kds_tls_cert_file: Path | None = option(
        None,
        env="KUMA_MULTIZONE_GLOBAL_KDS_TLS_CERT_FILE",
        key="multizone.global.kds.tlsCertFile",
        help="PEM certificate that zones are shown; default: general.tlsCertFile",
    )
    kds_tls_key_file: Path | None = option(
        None,
        env="KUMA_MULTIZONE_GLOBAL_KDS_TLS_KEY_FILE",
        key="multizone.global.kds.tlsKeyFile",
        help="PEM key of that certificate",
    )
    kds_max_message_bytes: int = option(
        MAX_MESSAGE_BYTES,
        env="KUMA_MULTIZONE_GLOBAL_KDS_MAX_MSG_SIZE",
        key="multizone.global.kds.maxMsgSize",
        help="Largest message taken from a zone, in bytes",
    )
    kds_nack_backoff: Seconds = option(
        Seconds(5.0),
        env="KUMA_MULTIZONE_GLOBAL_KDS_NACK_BACKOFF",
        key="multizone.global.kds.nackBackoff",
        help="Pause before a zone is sent the next response of a type that it refused",
    )
    kds_auth_type: str = option(
        "none",
        env="KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE",
        key="multizone.global.kds.auth.type",
        choices=("none", "cpToken"),
        help="How zones prove who they are: not at all, or by a zone token with the scope cp",
    )
    kds_labels_skip_prefixes: tuple[str, ...] = option(
        (),
        env="KUMA_MULTIZONE_GLOBAL_KDS_LABELS_SKIP_PREFIXES",
        key="multizone.global.kds.labels.skipPrefixes",
        help="Labels that begin like this are not sent to zones",
    )
    zone_insight_flush_interval: Seconds = option(
        Seconds(10.0),
        env="KUMA_MULTIZONE_GLOBAL_KDS_ZONE_INSIGHT_FLUSH_INTERVAL",
        key="multizone.global.kds.zoneInsightFlushInterval",
        help="How often counters of zones are written",
    )
    zone_health_check_poll_interval: Seconds = option(
        Seconds(0.0),
        env="KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_POLL_INTERVAL",
        key="multizone.global.kds.zoneHealthCheck.pollInterval",
        help="How often a zone reports that it is there; 0: every 5 minutes, and nothing follows from it",
    )
    zone_health_check_timeout: Seconds = option(
        Seconds(0.0),
        env="KUMA_MULTIZONE_GLOBAL_KDS_ZONE_HEALTH_CHECK_TIMEOUT",
        key="multizone.global.kds.zoneHealthCheck.timeout",
        help="A zone that has not reported for so long is disconnected; 0: never",
    )


@dataclass(frozen=True)
class ZoneSettings:
    """`multizone.zone` of the file; of no use to a global control plane."""

    zone_name: str = option(
        DEFAULT_ZONE,
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
    kds_root_ca_file: Path | None = option(
        None,
        env="KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE",
        key="multizone.zone.kds.rootCaFile",
        help="PEM certificates that global's is checked with; default: those of the system",
    )
    kds_tls_skip_verify: bool = option(
        False,
        env="KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY",
        key="multizone.zone.kds.tlsSkipVerify",
        help="Accept any certificate of global; for tests only",
    )
    zone_kds_max_message_bytes: int = option(
        MAX_MESSAGE_BYTES,
        env="KUMA_MULTIZONE_ZONE_KDS_MAX_MSG_SIZE",
        key="multizone.zone.kds.maxMsgSize",
        help="Largest message taken from global, in bytes",
    )
    zone_kds_nack_backoff: Seconds = option(
        Seconds(5.0),
        env="KUMA_MULTIZONE_ZONE_KDS_NACK_BACKOFF",
        key="multizone.zone.kds.nackBackoff",
        help="Pause before global is sent the next response of a type that it refused",
    )
    kds_cp_token_path: Path | None = option(
        None,
        env="KUMA_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH",
        key="multizone.zone.kds.auth.cpTokenPath",
        help="File with the zone token that this zone shows to global, where global asks for one",
    )
    trusted_global_cluster_id: str = option(
        "",
        env="KUMA_MULTIZONE_ZONE_GLOBAL_CLUSTER_ID",
        key="multizone.zone.globalClusterId",
        help="Id of the global whose word on what is gone counts; default: of the first one that was joined",
    )
    disable_origin_label_validation: bool = option(
        False,
        env="KUMA_MULTIZONE_ZONE_DISABLE_ORIGIN_LABEL_VALIDATION",
        key="multizone.zone.disableOriginLabelValidation",
        help="Take what people write in this zone for its own also without the label kuma.io/origin: zone",
    )
    zone_ingress_update_interval: Seconds = option(
        Seconds(1.0),
        env="KUMA_MULTIZONE_ZONE_INGRESS_UPDATE_INTERVAL",
        key="multizone.zone.ingressUpdateInterval",
        help="Longest rest between two writes of what a zone ingress offers while many services change",
    )
