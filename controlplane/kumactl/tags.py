"""Tags of a data plane as one cell of a table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def inbound_tags(networking: Mapping[str, Any]) -> str:
    """`k=v1,v2 k2=v3` over all inbounds and the gateway."""
    holders = [*networking.get("inbound", ()), networking.get("gateway") or {}]
    values: dict[str, set[str]] = {}
    for holder in holders:
        for tag, value in (holder.get("tags") or {}).items():
            values.setdefault(tag, set()).add(value)
    return " ".join(f"{tag}={','.join(sorted(found))}" for tag, found in sorted(values.items()))
