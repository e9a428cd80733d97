"""Overviews of proxies and zones as tables (contract 9.3, 9.4; kuma-cp 6.6, 8.3)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from kumactl.ages import age, moment
from kumactl.answer import Item, entries, flag, number, section, text, texts
from kumactl.table import Table
from kumactl.tags import inbound_tags
from kumamesh.names import ORIGIN_LABEL

ONLINE, OFFLINE, DEGRADED = "Online", "Offline", "Partially degraded"
UNKNOWN = "-"

_STREAM_COLUMNS = ("LAST CONNECTED AGO", "LAST UPDATED AGO", "TOTAL UPDATES", "TOTAL ERRORS")
_VERSION_COLUMNS = ("KUMA-DP VERSION", "ENVOY VERSION")
DATAPLANE_COLUMNS = (
    "MESH",
    "NAME",
    "TAGS",
    "STATUS",
    *_STREAM_COLUMNS,
    "CERT REGENERATED AGO",
    "CERT EXPIRATION",
    "CERT REGENERATIONS",
    "CERT BACKEND",
    "SUPPORTED CERT BACKENDS",
    *_VERSION_COLUMNS,
    "DEPENDENCIES VERSIONS",
    "NOTES",
)
ZONE_COLUMNS = ("NAME", "STATUS", *_STREAM_COLUMNS, "ZONE-CP VERSION", "BACKEND")
ZONE_PROXY_COLUMNS = ("NAME", "STATUS", *_STREAM_COLUMNS, *_VERSION_COLUMNS)


def dataplanes_table(overviews: Sequence[Item], now: datetime) -> Table:
    return Table(DATAPLANE_COLUMNS, [_dataplane_row(overview, now) for overview in overviews])


def zones_table(overviews: Sequence[Item], now: datetime) -> Table:
    return Table(ZONE_COLUMNS, [_zone_row(overview, now) for overview in overviews])


def zone_proxies_table(overviews: Sequence[Item], insight: str, now: datetime) -> Table:
    """Zone ingresses or egresses; `insight` is the field that has what was observed of each."""
    rows = [_zone_proxy_row(overview, section(overview, insight), now) for overview in overviews]
    return Table(ZONE_PROXY_COLUMNS, rows)


def dataplane_status(overview: Item) -> tuple[str, tuple[str, ...]]:
    """(status, why it is not whole): a proxy is as well as its stream and its inbounds are."""
    inbounds = [
        item
        for item in entries(overview, "dataplane", "networking", "inbound")
        if text(item, "state") != "Ignored"
    ]
    sick = [inbound for inbound in inbounds if not _healthy(inbound)]
    notes = tuple(
        f"inbound[port={text(inbound, 'port')},svc={text(inbound, 'tags', 'kuma.io/service')}] is not ready"
        for inbound in sick
    )
    if not _online(section(overview, "dataplaneInsight")) or (sick and len(sick) == len(inbounds)):
        return OFFLINE, notes
    return (DEGRADED if sick else ONLINE), notes


def _healthy(inbound: Item) -> bool:
    if text(inbound, "state") not in ("", "Ready"):
        return False
    return inbound.get("health") is None or flag(inbound, "health", "ready")


def _online(insight: Item) -> bool:
    return any(
        text(item, "connectTime") and not text(item, "disconnectTime")
        for item in entries(insight, "subscriptions")
    )


def _dataplane_row(overview: Item, now: datetime) -> tuple[str, ...]:
    insight = section(overview, "dataplaneInsight")
    mtls = section(insight, "mTLS")
    dependencies = section(_last(insight), "version", "dependencies")
    status, notes = dataplane_status(overview)
    return (
        text(overview, "mesh"),
        text(overview, "name"),
        inbound_tags(section(overview, "dataplane")),
        status,
        *_stream_cells(insight, now),
        age(text(mtls, "lastCertificateRegeneration"), now),
        moment(text(mtls, "certificateExpirationTime")),
        str(number(mtls, "certificateRegenerations")),
        text(mtls, "issuedBackend") or "-",
        ",".join(texts(mtls, "supportedBackends")) or "-",
        *_version_cells(insight),
        ", ".join(f"{name}: {found}" for name, found in sorted(dependencies.items())) or "-",
        "; ".join(notes) or "-",
    )


def _zone_row(overview: Item, now: datetime) -> tuple[str, ...]:
    insight = section(overview, "zoneInsight")
    last = _last(insight)
    enabled = section(overview, "zone").get("enabled") is not False
    return (
        text(overview, "name"),
        ONLINE if enabled and _online(insight) else OFFLINE,
        *_stream_cells(insight, now),
        text(last, "version", "kumaCp", "version") or "-",
        _store_type(text(last, "config")) or "-",
    )


def _store_type(config: str) -> str:
    """Where the zone keeps its resources: its configuration comes as a JSON text."""
    try:
        return text(json.loads(config), "store", "type")
    except (ValueError, RecursionError):
        return ""


def _zone_proxy_row(overview: Item, insight: Item, now: datetime) -> tuple[str, ...]:
    # What came from global is a proxy of another zone, of which only that zone and global know how it is.
    elsewhere = not insight and text(overview, "labels", ORIGIN_LABEL) == "global"
    status = UNKNOWN if elsewhere else ONLINE if _online(insight) else OFFLINE
    return (text(overview, "name"), status, *_stream_cells(insight, now), *_version_cells(insight))


def _stream_cells(insight: Item, now: datetime) -> tuple[str, str, str, str]:
    last = _last(insight)
    return (
        age(text(last, "connectTime"), now),
        age(text(last, "status", "lastUpdateTime"), now),
        _sum(insight, "responsesSent"),
        _sum(insight, "responsesRejected"),
    )


def _version_cells(insight: Item) -> tuple[str, str]:
    version = section(_last(insight), "version")
    return (
        text(version, "kumaDp", "version") or "unknown",
        text(version, "envoy", "version") or "unknown",
    )


def _last(insight: Item) -> Item:
    """The newest stream."""
    subscriptions = entries(insight, "subscriptions")
    return subscriptions[-1] if subscriptions else {}


def _sum(insight: Item, counter: str) -> str:
    counts = (number(item, "status", "total", counter) for item in entries(insight, "subscriptions"))
    return str(sum(counts))
