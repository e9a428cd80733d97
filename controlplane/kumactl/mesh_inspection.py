"""Meshes and services as tables (contract 9.4; kuma-cp 8.3)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from kumactl.answer import Item, number, section, text
from kumactl.inspection import DEGRADED, OFFLINE, ONLINE
from kumactl.table import Table

_SERVICE_STATUS = {
    "online": ONLINE,
    "offline": OFFLINE,
    "partially_degraded": DEGRADED,
    "not_available": "Not available",
}
_COUNTED = (
    "TrafficPermission",
    "TrafficRoute",
    "CircuitBreaker",
    "HealthCheck",
    "FaultInjection",
    "ExternalService",
    "TrafficTrace",
    "TrafficLog",
    "ProxyTemplate",
    "VirtualOutbound",
)
"""Types whose numbers are shown also where there are none; types of newer kinds follow if there are any."""


def services_table(insights: Sequence[Item]) -> Table:
    rows = [
        (
            text(insight, "name"),
            _SERVICE_STATUS.get(text(insight, "status"), "-"),
            _online_of_total(insight),
        )
        for insight in insights
    ]
    return Table(("SERVICE", "STATUS", "DATAPLANES"), rows)


def meshes_table(insights: Sequence[Item]) -> Table:
    """Online and all data planes, and policies by type."""
    found = {type_ for insight in insights for type_ in section(insight, "policies")}
    types = (*_COUNTED, *sorted(found.difference(_COUNTED)))
    rows = [
        (
            text(insight, "name"),
            _online_of_total(insight),
            *(str(number(insight, "policies", type_, "total")) for type_ in types),
        )
        for insight in insights
    ]
    return Table(("MESH", "DATAPLANES", *map(_title, types)), rows)


def _online_of_total(insight: Item) -> str:
    return f"{number(insight, 'dataplanes', 'online')}/{number(insight, 'dataplanes', 'total')}"


def _title(type_: str) -> str:
    """`TrafficPermission` as `TRAFFIC PERMISSIONS`."""
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type_)
    return f"{words}s".upper()
