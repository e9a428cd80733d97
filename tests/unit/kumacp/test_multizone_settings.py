"""Options of a global control plane and of its zones: names, units and defaults as people know them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kumacp.settings import CpSettings
from kumamesh.errors import UserError
from kumamesh.settings import dump, resolve

GLOBAL, ZONE = "KUMA_MULTIZONE_GLOBAL_KDS_", "KUMA_MULTIZONE_ZONE_"


@pytest.mark.parametrize(
    ("variable", "text", "field", "default", "value"),
    [
        (f"{GLOBAL}GRPC_PORT", "7000", "kds_grpc_port", 5685, 7000),
        (f"{GLOBAL}TLS_ENABLED", "false", "kds_tls_enabled", True, False),
        (f"{GLOBAL}TLS_CERT_FILE", "/c.pem", "kds_tls_cert_file", None, Path("/c.pem")),
        (f"{GLOBAL}TLS_KEY_FILE", "/k.pem", "kds_tls_key_file", None, Path("/k.pem")),
        (f"{GLOBAL}MAX_MSG_SIZE", "1024", "kds_max_message_bytes", 10_485_760, 1024),
        (f"{GLOBAL}NACK_BACKOFF", "1s", "kds_nack_backoff", 5.0, 1.0),
        (f"{GLOBAL}LABELS_SKIP_PREFIXES", "a.io,b.io", "kds_labels_skip_prefixes", (), ("a.io", "b.io")),
        (f"{GLOBAL}ZONE_INSIGHT_FLUSH_INTERVAL", "2s", "zone_insight_flush_interval", 10.0, 2.0),
        (f"{GLOBAL}ZONE_HEALTH_CHECK_POLL_INTERVAL", "1m", "zone_health_check_poll_interval", 0.0, 60.0),
        (f"{GLOBAL}ZONE_HEALTH_CHECK_TIMEOUT", "5m", "zone_health_check_timeout", 0.0, 300.0),
        ("KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE", "cpToken", "kds_auth_type", "none", "cpToken"),
        (f"{ZONE}NAME", "zone-1", "zone_name", "default", "zone-1"),
        (f"{ZONE}GLOBAL_ADDRESS", "grpcs://g:5685", "zone_global_address", "", "grpcs://g:5685"),
        (f"{ZONE}KDS_ROOT_CA_FILE", "/ca.pem", "kds_root_ca_file", None, Path("/ca.pem")),
        (f"{ZONE}KDS_TLS_SKIP_VERIFY", "true", "kds_tls_skip_verify", False, True),
        (f"{ZONE}KDS_MAX_MSG_SIZE", "2048", "zone_kds_max_message_bytes", 10_485_760, 2048),
        (f"{ZONE}KDS_NACK_BACKOFF", "9s", "zone_kds_nack_backoff", 5.0, 9.0),
        (f"{ZONE}KDS_AUTH_CP_TOKEN_PATH", "/token", "kds_cp_token_path", None, Path("/token")),
        (f"{ZONE}GLOBAL_CLUSTER_ID", "id-1", "trusted_global_cluster_id", "", "id-1"),
        (f"{ZONE}DISABLE_ORIGIN_LABEL_VALIDATION", "true", "disable_origin_label_validation", False, True),
        (f"{ZONE}INGRESS_UPDATE_INTERVAL", "250ms", "zone_ingress_update_interval", 1.0, 0.25),
    ],
)
def test_every_variable(variable: str, text: str, field: str, default: Any, value: Any) -> None:
    assert getattr(CpSettings(), field) == default
    resolved = resolve(CpSettings, environ={variable: text})
    assert (getattr(resolved.settings, field), resolved.warnings) == (value, ())


def test_keys_of_the_file() -> None:
    shown = dump(CpSettings(zone_name="zone-1"))["multizone"]
    assert set(shown) == {"global", "zone"}
    assert shown["zone"]["name"] == "zone-1"
    document = {
        "mode": "global",
        "multizone": {
            "global": {
                "kds": {
                    "grpcPort": 7000,
                    "zoneHealthCheck": {"pollInterval": "1s", "timeout": "10s"},
                    "labels": {"skipPrefixes": ["argocd.argoproj.io"]},
                }
            }
        },
    }
    settings = resolve(CpSettings, document=document).settings
    assert (settings.kds_grpc_port, settings.zone_health_check_timeout) == (7000, 10.0)
    assert settings.kds_labels_skip_prefixes == ("argocd.argoproj.io",)


def test_an_unknown_way_to_authenticate_is_refused() -> None:
    with pytest.raises(UserError, match="KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE"):
        resolve(CpSettings, environ={"KMESH_MULTIZONE_GLOBAL_KDS_AUTH_TYPE": "magic"})
