"""What Envoy must know before the control plane tells it anything (contract 2.3)."""

from __future__ import annotations

import ipaddress
from typing import Any

from kumadp_bootstrap import paths
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.xds_source import ads_cluster_name, uses_google_grpc
from kumamesh.durations import format_seconds_json

VALIDATION_SECRET = "cp_validation_ctx"  # noqa: S105  # a name

_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
