"""What a builtin gateway has beside a sidecar: runtime from ADS and limits (contract 2.4)."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap.params import GatewayParams

_RTDS_NAME = "gateway.listeners"
_MONITORS = "type.googleapis.com/envoy.extensions.resource_monitors"
_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"
_HEAP = "envoy.resource_monitors.fixed_heap"
_HEAP_ACTIONS = (
    ("envoy.overload_actions.shrink_heap", 0.95),
    ("envoy.overload_actions.stop_accepting_requests", 0.98),
)


def runtime_layer() -> dict[str, Any]:
    rtds = {"name": _RTDS_NAME, "rtds_config": {"ads": {}, "resource_api_version": "V3"}}
    return {"name": _RTDS_NAME, "rtds_layer": rtds}


def overload_manager(params: GatewayParams) -> dict[str, Any]:
    connections = {
        "@type": f"{_MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": params.max_connections,
    }
    manager: dict[str, Any] = {
        "refresh_interval": "0.250s",
        "resource_monitors": [{"name": _CONNECTIONS, "typed_config": connections}],
    }
    if params.max_heap_size_bytes:
        heap = {
            "@type": f"{_MONITORS}.fixed_heap.v3.FixedHeapConfig",
            "max_heap_size_bytes": params.max_heap_size_bytes,
        }
        manager["resource_monitors"].append({"name": _HEAP, "typed_config": heap})
        manager["actions"] = [
            {"name": action, "triggers": [{"name": _HEAP, "threshold": {"value": level}}]}
            for action, level in _HEAP_ACTIONS
        ]
    return manager
