"""What the whole control plane is told: role, store, logs, defaults."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import option


@dataclass(frozen=True)
class GeneralSettings:
    """Options of no single server."""

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
        help="Delete meshes that still have data planes, and zones that are connected",
    )
