"""Our own touches to the returned bootstrap, after the relay was put into it. Pure."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap import protojson

Document = dict[str, Any]

_BACK_OFF = {"retry_back_off": {"base_interval": "0.250s", "max_interval": "3s"}}


def with_quick_reconnect(document: Document) -> Document:
    """Envoy asks the relay again within seconds, where its own default goes up to 30: the relay is near, and
    when the control plane refuses, the relay itself makes Envoy wait."""
    resources = protojson.message(document, "dynamic_resources")
    ads = protojson.message(resources, "ads_config")
    sources = (ads, protojson.message(document, "hds_config"))
    for service in (service for source in sources for service in protojson.messages(source, "grpc_services")):
        envoy = dict(protojson.message(service, "envoy_grpc"))
        protojson.put(envoy, "retry_policy", _BACK_OFF)
        protojson.put(service, "envoy_grpc", envoy)
    return document


def with_admin_port(document: Document, port: int) -> Document:
    """Move Envoy's admin interface, and tell the control plane so in the node's metadata (contract 2.1)."""
    address = protojson.message(protojson.message(document, "admin"), "address")
    socket = protojson.message(address, "socket_address")
    protojson.put(socket, "port_value", port)
    metadata = protojson.message(protojson.message(document, "node"), "metadata")
    metadata["dataplane.admin.port"] = str(port)
    return document
