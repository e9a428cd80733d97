"""What the data-plane server counts; plain numbers that an exporter may read at any time."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from kumacp.figures import OTHER
from kumamesh.exposition import Histogram
from kumamesh.xds import UPDATE_ORDER

_TYPE_URLS = {type_url.rpartition(".")[2]: type_url for type_url in UPDATE_ORDER}


@dataclass(slots=True)
class DpServerStats:
    """Pushes, ACKs and NACKs by the short name of the type, refused streams by status, refused tokens by the
    class of the fault, certificates by mesh, changes of inbounds by the new state."""

    streams_active: int = 0
    streams_total: int = 0
    streams_refused: Counter[str] = field(default_factory=Counter)
    pushes: Counter[str] = field(default_factory=Counter)
    acks: Counter[str] = field(default_factory=Counter)
    nacks: Counter[str] = field(default_factory=Counter)
    tokens_refused: Counter[str] = field(default_factory=Counter)
    wakes: int = 0
    certificates_issued: Counter[str] = field(default_factory=Counter)
    certificates_failed: Counter[str] = field(default_factory=Counter)
    registrations: int = 0
    deregistrations: int = 0
    insight_writes: int = 0
    hds_streams_active: int = 0
    hds_specifiers: int = 0
    hds_reports: int = 0
    inbound_state_changes: Counter[str] = field(default_factory=Counter)
    change_to_ack: Histogram = field(default_factory=Histogram)


def short_type(type_url: str) -> str:
    """`Cluster` of `type.googleapis.com/envoy.config.cluster.v3.Cluster`; clients' inventions are `other`."""
    return type_url.rpartition(".")[2] if type_url in UPDATE_ORDER else OTHER


def long_type(short: str) -> str:
    """The type URL again."""
    return _TYPE_URLS.get(short, short)
