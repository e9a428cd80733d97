"""The streams between a zone and its global control plane, and what both ends need of one (contract 8.2)."""

from __future__ import annotations

from typing import Protocol
from urllib.parse import unquote

_SYNC = "/kuma.mesh.v1alpha1.KDSSyncService"
_GLOBAL = "/kuma.mesh.v1alpha1.GlobalKDSService"

GLOBAL_TO_ZONE = f"{_SYNC}/GlobalToZoneSync"
ZONE_TO_GLOBAL = f"{_SYNC}/ZoneToGlobalSync"
XDS_CONFIGS = f"{_GLOBAL}/StreamXDSConfigs"
STATS = f"{_GLOBAL}/StreamStats"
CLUSTERS = f"{_GLOBAL}/StreamClusters"
HEALTH_CHECK = f"{_GLOBAL}/HealthCheck"
"""Unary; the others are streams in both directions. The zone opens all of them."""


def peer_of(grpc_peer: str) -> str:
    """`ip:port` of the other side, IPv6 addresses in brackets, from `context.peer()`."""
    return unquote(grpc_peer).removeprefix("ipv4:").removeprefix("ipv6:")


class Wire(Protocol):
    """Both directions of one gRPC stream, messages as bytes. It ends with an error of gRPC, or cleanly."""

    async def read(self) -> bytes | None:
        """The next message of the other side; None when there will be none."""

    async def write(self, data: bytes) -> None:
        """Returns when gRPC has taken the message: not before the other side has room for it."""
