"""Who a proxy is and what it says of itself: Envoy's node (contract 2.1, 3.2, 3.3).

Anything may stand in the metadata; only an identity that cannot be used is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from kumacp.dpserver.refusal import Refused, Status
from kumacp.xds.model import ProxyMetadata, Redirection
from kumacp.xds.transparent import parse_redirection
from kumamesh import names
from kumamesh.resource import ResourceKey
from kumamesh.resources.rules.common import name_problem

_LOOPBACK = "127.0.0.1"
_ADMIN_ADDRESSES = (_LOOPBACK, "0.0.0.0", "::1", "::")
_MAX_PORT = 65_535
MAX_SHOWN_CHARS = 64 * 1_024


class ProxyType(Enum):
    """As in the metadata; an absent type is a dataplane."""

    DATAPLANE = "dataplane"
    INGRESS = "ingress"
    EGRESS = "egress"

    @property
    def resource_type(self) -> str:
        return _RESOURCE_TYPES[self]


_RESOURCE_TYPES = {
    ProxyType.DATAPLANE: "Dataplane",
    ProxyType.INGRESS: "ZoneIngress",
    ProxyType.EGRESS: "ZoneEgress",
}
PROXY_RESOURCE_TYPES = frozenset(_RESOURCE_TYPES.values())


@dataclass(frozen=True, slots=True)
class ProxyNode:
    """A node whose identity can be used. `resource` is the JSON object that the proxy registers itself with,
    None when it carries none, or none that can be read."""

    id: str
    key: ResourceKey
    proxy_type: ProxyType
    proxy: ProxyMetadata
    resource: Mapping[str, Any] | None
    metadata: Mapping[str, Any] = field(repr=False)


def parse_node(node_id: str, metadata: Mapping[str, Any]) -> ProxyNode:
    """The proxy behind a node id and its metadata (plain JSON values); raises Refused."""
    try:
        mesh, name = names.parse_node_id(node_id)
        for part in filter(None, (mesh, name)):
            if problem := name_problem(part):
                raise ValueError(f"{part[:253]!r}: {problem}")
    except ValueError as error:
        raise Refused(Status.INVALID_ARGUMENT, f"request must have a valid Proxy ID: {error}") from None
    proxy_type = _proxy_type(metadata)
    if (proxy_type is ProxyType.DATAPLANE) != bool(mesh):
        raise Refused(
            Status.INVALID_ARGUMENT,
            f"request must have a valid Proxy ID: {node_id!r} {'has a' if mesh else 'lacks its'} mesh, "
            f"but the proxy type is {proxy_type.value}",
        )
    return ProxyNode(
        id=node_id,
        key=ResourceKey(proxy_type.resource_type, mesh, name),
        proxy_type=proxy_type,
        proxy=_proxy_metadata(metadata),
        resource=_resource(metadata),
        metadata=metadata,
    )


def without_token(value: Any, token: str) -> Any:
    """The JSON value with the token, should it stand anywhere in it, replaced."""
    if isinstance(value, str):
        return value.replace(token, "*****") if token else value
    if isinstance(value, Mapping):
        return {key: without_token(item, token) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_token(item, token) for item in value]
    return value


def presentable(metadata: Mapping[str, Any], token: str) -> dict[str, Any]:
    """The metadata for an insight, which is written often: without the token and without huge entries. A
    resource that is that large stands in the Dataplane."""
    shown: dict[str, Any] = without_token(metadata, token)
    return {key: value for key, value in shown.items() if len(json.dumps(value)) <= MAX_SHOWN_CHARS}


def _proxy_type(metadata: Mapping[str, Any]) -> ProxyType:
    value = metadata.get("dataplane.proxyType") or ProxyType.DATAPLANE.value
    try:
        return ProxyType(value)
    except ValueError:
        raise Refused(Status.INVALID_ARGUMENT, f'unsupported proxy type "{value}"') from None


def _proxy_metadata(metadata: Mapping[str, Any]) -> ProxyMetadata:
    features = metadata.get("features")
    address = _text(metadata, "dataplane.admin.address")
    return ProxyMetadata(
        features=frozenset(item for item in features if isinstance(item, str))
        if isinstance(features, list)
        else frozenset(),
        admin_address=address if address in _ADMIN_ADDRESSES else _LOOPBACK,
        admin_port=_port(metadata, "dataplane.admin.port"),
        readiness_port=_port(metadata, "dataplane.readinessReporter.port"),
        workdir=_text(metadata, "workdir"),
        ipv6_enabled=metadata.get("ipv6Enabled") is not False,
        system_ca=_text(metadata, "systemCaPath"),
        dns_port=_port(metadata, "dataplane.dns.port"),
        redirection=_redirection(metadata),
    )


def _redirection(metadata: Mapping[str, Any]) -> Redirection | None:
    """None for what cannot be read. A proxy that got its bootstrap here has said nothing like that."""
    try:
        return parse_redirection(metadata.get("transparentProxy"))
    except ValueError:
        return None


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return value if isinstance(value, str) else ""


def _port(metadata: Mapping[str, Any], key: str) -> int:
    text = _text(metadata, key)
    if not (text.isascii() and text.isdecimal() and len(text) <= len(str(_MAX_PORT))):
        return 0
    port = int(text)
    return port if port <= _MAX_PORT else 0


def _resource(metadata: Mapping[str, Any]) -> Mapping[str, Any] | None:
    try:
        value = json.loads(_text(metadata, "dataplane.resource") or "null")
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
