"""The dynconf listener as control planes make it (contract 4.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401 - for the Any below
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2,  # noqa: F401 - for the Any below
)
from google.protobuf import json_format

NAME = "_kuma:dynamicconfig"
_TYPES = "type.googleapis.com/envoy.extensions.filters"


def dynconf(
    pages: Mapping[str, str], socket: str = "/nowhere.sock", name: str = NAME
) -> listener_pb2.Listener:
    """Serves the texts at their paths."""
    routes = [route for path, text in pages.items() for route in _routes(path, text)]
    router = {"@type": f"{_TYPES}.http.router.v3.Router"}
    manager = {
        "@type": f"{_TYPES}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "_kuma_dynamicconfig",
        "route_config": {
            "virtual_hosts": [{"name": "dynconf", "domains": ["*"], "routes": routes}],
            "max_direct_response_body_size_bytes": max([1, *(len(text.encode()) for text in pages.values())]),
        },
        "http_filters": [{"name": "router", "typed_config": router}],
    }
    listener = {
        "name": name,
        "address": {"pipe": {"path": socket}},
        "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
    }
    return json_format.ParseDict(listener, listener_pb2.Listener())


def _routes(path: str, text: str) -> list[dict[str, Any]]:
    etag = hashlib.sha256(text.encode()).hexdigest()
    known = {"name": "if-none-match", "string_match": {"exact": etag}}
    return [
        {"match": {"path": path, "headers": [known]}, "direct_response": {"status": 304}},
        {
            "name": f"{NAME}:{path}",
            "match": {"path": path},
            "direct_response": {"status": 200, "body": {"inline_string": text}},
            "response_headers_to_add": [{"header": {"key": "Etag", "value": etag}}],
        },
    ]
