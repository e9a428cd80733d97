"""What every proxy's bootstrap has (contract 2.2-2.4)."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap.node import node
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.static import static_resources
from kumadp_bootstrap.xds_source import dynamic_resources

_STATS_TAGS = (
    ("name", r"^grpc\.((.+)\.)"),
    ("status", r"^grpc.*streams_closed(_([0-9]+))"),
    ("kafka_name", r"^kafka(\.(\S*[0-9]))\."),
    ("kafka_type", r"^kafka\..*\.(.*?(?=_duration|$))"),
    ("worker", r"(worker_([0-9]+)\.)"),
    ("listener", r"((.+?)\.)rbac\."),
)
_RUNTIME = {"re2.max_program_size.error_level": 4_294_967_295, "re2.max_program_size.warn_level": 1000}


def proxy(params: BootstrapParams, cluster: str) -> dict[str, Any]:
    """`cluster` is the name under which the proxy is known to Envoy's node."""
    document = {
        "node": node(params, cluster),
        "dynamic_resources": dynamic_resources(params),
        "static_resources": static_resources(params),
        "layered_runtime": {"layers": [{"name": "kuma", "static_layer": _RUNTIME}]},
        "stats_config": {"stats_tags": [{"tag_name": tag, "regex": regex} for tag, regex in _STATS_TAGS]},
        "default_regex_engine": {
            "name": "envoy.regex_engines.google_re2",
            "typed_config": {"@type": "type.googleapis.com/envoy.extensions.regex_engines.v3.GoogleRE2"},
        },
    }
    if params.admin_port:
        document["admin"] = _admin(params)
    return document


def _admin(params: BootstrapParams) -> dict[str, Any]:
    log = {
        "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
        "path": params.admin_access_log_path,
    }
    return {
        "address": {"socket_address": {"address": params.admin_address, "port_value": params.admin_port}},
        "access_log": [{"name": "envoy.access_loggers.file", "typed_config": log}],
    }
