"""What every proxy has for the control plane: its admin endpoint and its readiness (contract 3.7)."""

from __future__ import annotations

from collections.abc import Iterator

from kumacp.xds.model import AdminCluster, AdminListener, ProxyMetadata, ReadinessCluster, UnitInput
from kumacp.xds.transparent import REUSE_PORT
from kumadp_bootstrap import paths

READINESS_UNIX_SOCKET = "feature-readiness-unix-socket"

ADMIN_ADDRESSES = {
    "": "127.0.0.1",
    "127.0.0.1": "127.0.0.1",
    "0.0.0.0": "127.0.0.1",
    "::1": "::1",
    "::": "::1",
}
"""Where Envoy's admin may listen, and how Envoy itself reaches it (contract 3.4)."""


def admin_units(address: str, metadata: ProxyMetadata) -> Iterator[UnitInput]:
    """`address` is where the proxy is reached, "" if that is not known."""
    admin_address = ADMIN_ADDRESSES.get(metadata.admin_address)
    if admin_address is None or not metadata.admin_port:
        return
    yield AdminCluster(address=admin_address, port=metadata.admin_port)
    if READINESS_UNIX_SOCKET in metadata.features:
        yield ReadinessCluster(pipe=paths.readiness_reporter(metadata.workdir), address="", port=0)
    elif metadata.readiness_port:
        yield ReadinessCluster(pipe="", address=admin_address, port=metadata.readiness_port)
    # Bound to all addresses, admin already holds the port on the proxy's own.
    taken = metadata.admin_address in {"0.0.0.0", "::", address}
    if metadata.admin_tls is not None and not taken and address not in {"", admin_address}:
        yield AdminListener(
            address=address,
            port=metadata.admin_port,
            tls=metadata.admin_tls,
            reuse_port=REUSE_PORT in metadata.features,
            ipv6=metadata.ipv6_enabled,
        )
