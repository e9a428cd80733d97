"""Overviews and insights as tables (contract 9.3, 9.4; kuma-cp 8.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from kumactl import table
from kumactl.ages import age, moment
from kumactl.tags import inbound_tags

Item = Mapping[str, Any]

ONLINE, OFFLINE, DEGRADED = "Online", "Offline", "Partially degraded"

DATAPLANE_COLUMNS = (
    "MESH",
    "NAME",
    "TAGS",
    "STATUS",
    "LAST CONNECTED AGO",
    "LAST UPDATED AGO",
    "TOTAL UPDATES",
    "TOTAL ERRORS",
    "CERT REGENERATED AGO",
    "CERT EXPIRATION",
    "CERT REGENERATIONS",
    "CERT BACKEND",
    "SUPPORTED CERT BACKENDS",
    "KUMA-DP VERSION",
    "ENVOY VERSION",
    "DEPENDENCIES VERSIONS",
    "NOTES",
)

_SERVICE_STATUS = {
    "online": ONLINE,
    "offline": OFFLINE,
    "partially_degraded": DEGRADED,
    "not_available": "Not available",
}


def dataplanes_table(overviews: Sequence[Item], now: datetime) -> str:
    return table.render(DATAPLANE_COLUMNS, [_dataplane_row(overview, now) for overview in overviews])


def services_table(insights: Sequence[Item]) -> str:
    rows = [
        (
            insight["name"],
            _SERVICE_STATUS.get(str(insight.get("status")), "-"),
            _online_of_total(insight),
        )
        for insight in insights
    ]
    return table.render(("SERVICE", "STATUS", "DATAPLANES"), rows)


def meshes_table(insights: Sequence[Item]) -> str:
    """Online and all data planes, services, and policies by type, where there are any."""
    types = sorted({type_ for insight in insights for type_ in insight.get("policies") or {}})
    rows = [
        (
            insight["name"],
            _online_of_total(insight),
            _number((insight.get("services") or {}).get("total")),
            *(_number(((insight.get("policies") or {}).get(type_) or {}).get("total")) for type_ in types),
        )
        for insight in insights
    ]
    return table.render(("MESH", "DATAPLANES", "SERVICES", *map(_words, types)), rows)


def dataplane_status(overview: Item) -> tuple[str, tuple[str, ...]]:
    """(status, why it is not whole): a proxy is as well as its stream and its inbounds are."""
    networking = (overview.get("dataplane") or {}).get("networking") or {}
    inbounds = [item for item in networking.get("inbound") or () if item.get("state") != "Ignored"]
    sick = [inbound for inbound in inbounds if not _healthy(inbound)]
    notes = tuple(
        f"inbound[port={inbound.get('port')},svc={(inbound.get('tags') or {}).get('kuma.io/service', '')}] "
        "is not ready"
        for inbound in sick
    )
    subscriptions = (overview.get("dataplaneInsight") or {}).get("subscriptions") or ()
    online = any(item.get("connectTime") and not item.get("disconnectTime") for item in subscriptions)
    if not online or (sick and len(sick) == len(inbounds)):
        return OFFLINE, notes
    return (DEGRADED if sick else ONLINE), notes


def _healthy(inbound: Item) -> bool:
    health = inbound.get("health")
    return inbound.get("state", "Ready") == "Ready" and (health is None or bool(health.get("ready")))


def _dataplane_row(overview: Item, now: datetime) -> tuple[str, ...]:
    insight = overview.get("dataplaneInsight") or {}
    subscriptions = insight.get("subscriptions") or ()
    last = subscriptions[-1] if subscriptions else {}
    version = last.get("version") or {}
    mtls = insight.get("mTLS") or {}
    status, notes = dataplane_status(overview)
    dependencies = version.get("dependencies") or {}
    return (
        overview.get("mesh", ""),
        overview["name"],
        inbound_tags((overview.get("dataplane") or {}).get("networking") or {}),
        status,
        age(last.get("connectTime"), now),
        age((last.get("status") or {}).get("lastUpdateTime"), now),
        _sum(subscriptions, "responsesSent"),
        _sum(subscriptions, "responsesRejected"),
        age(mtls.get("lastCertificateRegeneration"), now),
        moment(mtls.get("certificateExpirationTime")),
        _number(mtls.get("certificateRegenerations")),
        mtls.get("issuedBackend") or "-",
        ",".join(mtls.get("supportedBackends") or ()) or "-",
        (version.get("kumaDp") or {}).get("version") or "unknown",
        (version.get("envoy") or {}).get("version") or "unknown",
        ", ".join(f"{name}: {text}" for name, text in sorted(dependencies.items())) or "-",
        "; ".join(notes) or "-",
    )


def _sum(subscriptions: Sequence[Item], counter: str) -> str:
    """Counters are strings in JSON, as those of protobuf are."""
    totals = ((item.get("status") or {}).get("total") or {} for item in subscriptions)
    return str(sum(int(total.get(counter) or 0) for total in totals))


def _online_of_total(insight: Item) -> str:
    dataplanes = insight.get("dataplanes") or {}
    return f"{_number(dataplanes.get('online'))}/{_number(dataplanes.get('total'))}"


def _number(value: object) -> str:
    return str(value or 0)


def _words(type_: str) -> str:
    """`TrafficPermission` as `TRAFFIC PERMISSIONS`."""
    spaced = "".join(f" {letter}" if letter.isupper() else letter for letter in type_).strip()
    return f"{spaced}s".upper()
