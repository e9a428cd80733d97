"""Everything that decides how a bootstrap looks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

ProxyType = Literal["dataplane", "ingress", "egress"]


@dataclass(frozen=True, slots=True)
class GatewayParams:
    """Limits of a builtin gateway (contract 2.4); `max_heap_size_bytes` 0: unknown, no heap limit."""

    max_connections: int = 50_000
    max_heap_size_bytes: int = 0


@dataclass(frozen=True, slots=True)
class BootstrapParams:
    """One proxy and the control plane it talks to. Names follow contract 1.2 and 2.

    `xds_host` is what Envoy dials, sends as SNI and expects in the certificate. `token` is written into the
    bootstrap unless `reloadable_token` is set: then Envoy reads the file `token_path` for every stream.
    `version` and `transparent_proxy` are JSON objects. Ports are 0, texts empty, when there is no such thing.
    """

    proxy_type: ProxyType
    name: str
    xds_host: str
    xds_port: int
    ca_pem: str
    mesh: str = ""
    service: str = ""
    """kuma.io/service of a sidecar, the first of several."""
    resource: str = ""
    """The proxy's resource as JSON text."""
    token: str = field(default="", repr=False)
    token_path: str = ""
    reloadable_token: bool = False
    delta: bool = True
    hds: bool = False
    xds_ipv4_only: bool = False
    """The host name has no IPv6 address."""
    admin_address: str = "127.0.0.1"
    admin_port: int = 9901
    admin_access_log_path: str = "/dev/null"
    dns_port: int = 0
    readiness_port: int = 0
    app_probe_proxy: bool = False
    workdir: str = ""
    features: tuple[str, ...] = ()
    version: Mapping[str, Any] = field(default_factory=dict)
    dynamic_metadata: Mapping[str, str] = field(default_factory=dict)
    metrics_cert_path: str = ""
    metrics_key_path: str = ""
    system_ca_path: str = ""
    spire_socket_path: str = ""
    transparent_proxy: Mapping[str, Any] | None = None
    ipv6_enabled: bool = True
    gateway: GatewayParams | None = None
    """Set for a builtin gateway."""
    unified_names: bool = False
    """`system_` names: the proxy asked for them and its mesh has meshServices.mode Exclusive."""
