"""What the diagnostics server is told (kuma-cp 1.4)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import option


@dataclass(frozen=True)
class DiagnosticsSettings:
    """`diagnostics` of the file."""

    diagnostics_port: int = option(
        5680,
        env="KUMA_DIAGNOSTICS_SERVER_PORT",
        key="diagnostics.serverPort",
        help="/ready, /healthy, /metrics, /logging",
    )
    diagnostics_interface: str = option(
        "0.0.0.0",
        env="KUMADP_DIAGNOSTICS_SERVER_INTERFACE",
        key="diagnostics.serverInterface",
        help="Address the diagnostics listen on",
    )
    diagnostics_tls_enabled: bool = option(
        False,
        env="KUMA_DIAGNOSTICS_TLS_ENABLED",
        key="diagnostics.tlsEnabled",
        help="Serve the diagnostics over HTTPS",
    )
    diagnostics_tls_cert_file: Path | None = option(
        None,
        env="KUMA_DIAGNOSTICS_TLS_CERT_FILE",
        key="diagnostics.tlsCertFile",
        help="PEM certificate of the diagnostics; default: general.tlsCertFile",
    )
    diagnostics_tls_key_file: Path | None = option(
        None,
        env="KUMA_DIAGNOSTICS_TLS_KEY_FILE",
        key="diagnostics.tlsKeyFile",
        help="PEM key of that certificate",
    )
    diagnostics_debug_endpoints: bool = option(
        False,
        env="KUMA_DIAGNOSTICS_DEBUG_ENDPOINTS",
        key="diagnostics.debugEndpoints",
        help="Answer /debug/tasks and /debug/memory to programs of the same host",
    )
