"""What others may know of a stream that is open."""

from __future__ import annotations

from dataclasses import dataclass

from kumacp.xds.model import ProxyMetadata


@dataclass(frozen=True, slots=True)
class Connection:
    """`peer` is where it comes from, as `ip:port` when it came through the front."""

    node_id: str
    peer: str
    metadata: ProxyMetadata
