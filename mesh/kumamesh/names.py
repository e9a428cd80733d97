"""Well-known tags, labels and names (contract 5.2, 5.4; kuma-cp 2.0)."""

from __future__ import annotations

SERVICE_TAG = "kuma.io/service"
PROTOCOL_TAG = "kuma.io/protocol"
ZONE_TAG = "kuma.io/zone"
INSTANCE_TAG = "kuma.io/instance"
MESH_TAG = "kuma.io/mesh"
EXTERNAL_SERVICE_TAG = "kuma.io/external-service-name"
"""Tells the endpoints of one service that speak TLS apart; its value is the name of the ExternalService."""

DISPLAY_NAME_LABEL = "kuma.io/display-name"
ENV_LABEL = "kuma.io/env"
MANAGED_BY_LABEL = "kuma.io/managed-by"
MESH_LABEL = "kuma.io/mesh"
NAMESPACE_LABEL = "k8s.kuma.io/namespace"
ORIGIN_LABEL = "kuma.io/origin"
PROXY_TYPE_LABEL = "kuma.io/proxy-type"
WORKLOAD_LABEL = "kuma.io/workload"
ZONE_LABEL = "kuma.io/zone"

MANAGED_BY_CONNECTION = "kuma-dp"
"""Value of MANAGED_BY_LABEL on a proxy resource that exists because its proxy connected, so that it may
be removed when the proxy is gone, also by a control plane that restarted in between."""

DEFAULT_MESH = "default"
ZONE_EGRESS_SERVICE = "zone-egress"
NO_DESTINATION_CLUSTER = "self_transparentproxy_no_destination_inbound"
SOURCE_TAGS_FILTER = "kuma:source-tags"
EDGE_MATCH, EDGE_VALUE = "kuma#edge", "true"
"""Tells endpoints that lead out of the zone from others; no tag can have that name."""
PROTOCOLS = ("tcp", "tls", "http", "http2", "grpc", "kafka")
NO_PORT = 49151
"""Inbound port that stands for "no port"; never an endpoint (contract 5.3)."""


def service_spiffe_id(mesh: str, service: str) -> str:
    """Identity of a workload of the service in the mesh."""
    return f"spiffe://{mesh}/{service}"


def mesh_spiffe_prefix(mesh: str) -> str:
    """Prefix that every identity of the mesh has; it ends in a slash so that `a` never matches `ab`."""
    return f"spiffe://{mesh}/"


def tag_id(tag: str, value: str) -> str:
    """URI SAN that states one tag of a workload."""
    return f"kuma://{tag}/{value}"


def identity_secret(mesh: str) -> str:
    """SDS name of the certificate a proxy presents in the mesh."""
    return f"identity_cert:secret:{mesh}"


def mesh_ca_secret(mesh: str) -> str:
    """SDS name of the CA bundle that proxies of the mesh trust."""
    return f"mesh_ca:secret:{mesh}"


def builtin_ca_cert_secret(mesh: str, backend: str) -> str:
    return f"{mesh}.ca-builtin-cert-{backend}"


def builtin_ca_key_secret(mesh: str, backend: str) -> str:
    return f"{mesh}.ca-builtin-key-{backend}"


def node_id(mesh: str, name: str) -> str:
    """Envoy's node id; zone proxies have the mesh "" and so an id that starts with a dot."""
    return f"{mesh}.{name}"


def parse_node_id(value: str) -> tuple[str, str]:
    """(mesh, name); split on the first dot, because names may have dots and meshes may not."""
    mesh, dot, name = value.partition(".")
    if not dot or not name:
        raise ValueError(f"the node id {value!r} must have the form <mesh>.<name>")
    return mesh, name


def format_address(address: str, port: int) -> str:
    """`ip:port`, with brackets around an IPv6 address."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def inbound_listener(address: str, port: int) -> str:
    return f"inbound:{format_address(address, port)}"


def outbound_listener(address: str, port: int) -> str:
    return f"outbound:{format_address(address, port)}"


def local_cluster(port: int) -> str:
    """Cluster of the application's own port."""
    return f"localhost:{port}"
