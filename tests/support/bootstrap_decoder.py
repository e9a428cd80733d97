"""A bootstrap as envoy-data-plane reads it: message classes and a JSON reader that are not protobuf's own."""

from __future__ import annotations

import importlib
import json
import warnings
from typing import Any

_EXTENSIONS = (
    "envoy.config.grpc_credential",
    "envoy.extensions.access_loggers.file",
    "envoy.extensions.regex_engines",
    "envoy.extensions.resource_monitors.downstream_connections",
    "envoy.extensions.resource_monitors.fixed_heap",
    "envoy.extensions.transport_sockets.tls",
    "envoy.extensions.upstreams.http",
)


def decode(document: dict[str, Any]) -> Any:
    """The message; unknown fields and types of extensions are errors."""
    with warnings.catch_warnings():
        # The generated classes are older than the pydantic installed here.
        warnings.simplefilter("ignore")
        for extension in _EXTENSIONS:
            importlib.import_module(f"envoy_data_plane.{extension}.v3")
        bootstrap = importlib.import_module("envoy_data_plane.envoy.config.bootstrap.v3").Bootstrap
        return bootstrap.from_json(json.dumps(document))
