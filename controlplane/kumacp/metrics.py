"""Metrics of the control plane, read from the counters of its rooms when somebody asks for them.

Names are Kuma's where the meaning is the same; docs/reference/metrics.md is made from METRICS.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest

from kumacp.dpserver.stats import DpServerStats, long_type
from kumacp.figures import MAX_LABELS, OTHER, Histograms, HttpTraffic
from kumacp.kds.exchange.traffic import Traffic
from kumacp.xds.hub import Counters
from kumamesh.exposition import Kind, Labels, MetricSpec, Summary, Value, exposition
from kumamesh.resource import ResourceKey
from kumamesh.version import PRODUCT, VERSION

_GAUGE, _HISTOGRAM, _SUMMARY = Kind.GAUGE, Kind.HISTOGRAM, Kind.SUMMARY
_HTTP = ("code", "method")

METRICS = (
    MetricSpec(
        "cp_info", "This control plane", _GAUGE, ("product", "version", "mode", "zone", "instance_id")
    ),
    MetricSpec("event_loop_lag_seconds", "How long a task waited for its turn at this scrape", _GAUGE),
    MetricSpec("xds_streams_active", "Connected xDS streams", _GAUGE),
    MetricSpec("xds_streams_total", "xDS streams ever opened"),
    MetricSpec("xds_streams_refused_total", "Streams that were refused or ended", labels=("reason",)),
    MetricSpec("xds_responses_sent", "Delta responses sent", labels=("type_url",)),
    MetricSpec(
        "xds_requests_received", "Verdicts of proxies on responses", labels=("type_url", "confirmation")
    ),
    MetricSpec("xds_delivery", "Milliseconds from a change to the acceptance by a proxy", _SUMMARY),
    MetricSpec("xds_change_to_ack_seconds", "From a change to the acceptance by a proxy", _HISTOGRAM),
    MetricSpec("xds_wakes_total", "Times that a stream was woken by a change"),
    MetricSpec("xds_units_built_total", "Shared xDS resources built and serialised"),
    MetricSpec("xds_units_reused_total", "Shared xDS resources handed to a further proxy"),
    MetricSpec("xds_units_held", "Shared xDS resources in memory", _GAUGE),
    MetricSpec("xds_proxies_woken_total", "Proxies told that something of theirs changed"),
    MetricSpec(
        "external_services_unusable",
        "ExternalServices that keep what they had, for something they name is missing or wrong",
        _GAUGE,
        ("mesh", "external_service"),
    ),
    MetricSpec("vip_generation", "Milliseconds from a change of names to the stored addresses", _SUMMARY),
    MetricSpec("vip_generation_errors", "Times that addresses of names could not be stored"),
    MetricSpec(
        "vip_allocation_exhaustion", "Names without an address, for there are none left", _GAUGE, ("mesh",)
    ),
    MetricSpec("vip_conflicts", "Names that are wanted more than once, or cannot be made", _GAUGE, ("mesh",)),
    MetricSpec("zones_total", "Zones that global knows", _GAUGE),
    MetricSpec("zones_online", "Zones that are connected to this control plane", _GAUGE),
    MetricSpec("kds_delta_streams_active", "Open streams between zones and global", _GAUGE, ("kind",)),
    MetricSpec("kds_delta_responses_sent", "Responses sent to the other side", labels=("type_url",)),
    MetricSpec(
        "kds_delta_requests_received",
        "Verdicts of the other side on responses",
        labels=("type_url", "confirmation"),
    ),
    MetricSpec("kds_responses_received_total", "Responses of the other side", labels=("type_url",)),
    MetricSpec("kds_responses_rejected_total", "Those with something refused", labels=("type_url",)),
    MetricSpec(
        "kds_streams_refused_total", "Streams of zones that were refused or ended", labels=("reason",)
    ),
    MetricSpec("kds_connected", "Whether this zone is joined to global", _GAUGE),
    MetricSpec("kds_connections_total", "Times that this zone was joined to global"),
    MetricSpec("kds_connection_failures_total", "Times that global could not be reached"),
    MetricSpec("hds_streams_active", "Connected health discovery streams", _GAUGE),
    MetricSpec("hds_specifiers_total", "Times that a proxy was told what to check"),
    MetricSpec("hds_reports_total", "Reports of proxies on what they checked"),
    MetricSpec(
        "inbound_state_changes_total", "Inbounds whose state was found to be another one", labels=("state",)
    ),
    MetricSpec("store", "Seconds of operations on the store", _HISTOGRAM, ("operation", "resource_type")),
    MetricSpec("store_conflicts", "Writes that came after another one", labels=("resource_type",)),
    MetricSpec("store_writes_total", "Committed changes", labels=("operation",)),
    MetricSpec("store_feed_behind", "Committed changes that the slowest follower has yet to take", _GAUGE),
    MetricSpec("store_size_bytes", "The database on disk, 0 in memory", _GAUGE),
    MetricSpec("cert_generation", "Workload certificates issued", labels=("mesh",)),
    MetricSpec("cert_generation_failures", "Workload certificates that failed", labels=("mesh",)),
    MetricSpec("tokens_issued_total", "Tokens made by the REST API", labels=("kind",)),
    MetricSpec("tokens_refused_total", "Tokens of proxies that do not hold", labels=("reason",)),
    MetricSpec("proxies_registered_total", "Proxy resources stored for connecting proxies"),
    MetricSpec("proxies_deregistered_total", "Proxy resources removed after their proxy was gone"),
    MetricSpec("insight_writes_total", "Insights stored"),
    MetricSpec("log_lines_held_total", "Log lines left out because there were too many like them"),
    MetricSpec("api_server_http_request_duration_seconds", "Requests to the REST API", _HISTOGRAM, _HTTP),
    MetricSpec("api_server_http_requests_inflight", "Requests to the REST API being answered", _GAUGE),
    MetricSpec("dp_server_http_request_duration_seconds", "Bootstrap requests", _HISTOGRAM, _HTTP),
    MetricSpec("dp_server_http_requests_inflight", "Bootstrap requests being answered", _GAUGE),
)

Read = Callable[[], Value]


class CountingHub(Protocol):
    """The xDS hub."""

    @property
    def counters(self) -> Counters: ...

    @property
    def faults(self) -> Mapping[ResourceKey, str]: ...


class WatchedStore(Protocol):
    """The store, with what it counts."""

    @property
    def durations(self) -> Histograms: ...

    @property
    def conflicts(self) -> Mapping[str, int]: ...

    @property
    def writes(self) -> Mapping[str, int]: ...

    @property
    def behind(self) -> int: ...

    @property
    def size(self) -> int: ...


class ZoneFigures(Protocol):
    """The zones of a global control plane."""

    @property
    def total(self) -> int: ...

    @property
    def online(self) -> int: ...

    @property
    def open_streams(self) -> Mapping[str, int]: ...


class LinkFigures(Protocol):
    """The connection of a zone to global."""

    connected: int
    connections: int
    failures: int
    streams: dict[str, float]
    ends: dict[str, float]


class VipFigures(Protocol):
    """The driver of virtual addresses."""

    @property
    def generations(self) -> int: ...

    @property
    def generation_ms(self) -> float: ...

    @property
    def errors(self) -> int: ...

    @property
    def exhausted(self) -> Mapping[str, float]: ...

    @property
    def conflicts(self) -> Mapping[str, float]: ...


@dataclass(frozen=True, slots=True)
class Instance:
    """What tells this control plane from others."""

    mode: str
    zone: str
    instance_id: str


class Metrics:
    """The registry. `expose` connects a declared metric with the counter of the room that owns it."""

    def __init__(self) -> None:
        self._processes = CollectorRegistry()
        ProcessCollector(registry=self._processes)
        self._specs = {spec.name: spec for spec in METRICS}
        self._reads: dict[str, Read] = {}

    def expose(self, name: str, read: Read) -> None:
        """`read` is called at every scrape and must be cheap; KeyError for a name that is not in METRICS."""
        self._reads[self._specs[name].name] = read

    def expose_all(self, reads: Mapping[str, Read]) -> None:
        for name, read in reads.items():
            self.expose(name, read)

    def expose_instance(self, instance: Instance) -> None:
        labels: Labels = (PRODUCT, VERSION, instance.mode, instance.zone, instance.instance_id)
        self.expose("cp_info", lambda: {labels: 1.0})

    def expose_process(self, name: str, pid: int) -> None:
        """CPU, memory and open files of a child process, under `<name>_process_*`."""
        ProcessCollector(namespace=name, pid=lambda: pid, registry=self._processes)

    def expose_http(self, prefix: str, traffic: HttpTraffic) -> None:
        self.expose(f"{prefix}_http_request_duration_seconds", lambda: traffic.durations.by_labels)
        self.expose(f"{prefix}_http_requests_inflight", lambda: traffic.in_flight)

    def expose_dp_server(self, stats: DpServerStats) -> None:
        """Everything that the data-plane server counts."""
        took = stats.change_to_ack
        self.expose_all(
            {
                "xds_streams_active": lambda: stats.streams_active,
                "xds_streams_total": lambda: stats.streams_total,
                "xds_streams_refused_total": lambda: stats.streams_refused,
                "xds_responses_sent": lambda: {long_type(type_): n for type_, n in stats.pushes.items()},
                "xds_requests_received": lambda: _verdicts(stats),
                "xds_delivery": lambda: Summary(took.count, took.sum * 1000.0),
                "xds_change_to_ack_seconds": lambda: took,
                "xds_wakes_total": lambda: stats.wakes,
                "cert_generation": lambda: stats.certificates_issued,
                "cert_generation_failures": lambda: stats.certificates_failed,
                "tokens_refused_total": lambda: stats.tokens_refused,
                "proxies_registered_total": lambda: stats.registrations,
                "proxies_deregistered_total": lambda: stats.deregistrations,
                "insight_writes_total": lambda: stats.insight_writes,
                "hds_streams_active": lambda: stats.hds_streams_active,
                "hds_specifiers_total": lambda: stats.hds_specifiers,
                "hds_reports_total": lambda: stats.hds_reports,
                "inbound_state_changes_total": lambda: stats.inbound_state_changes,
            }
        )

    def expose_store(self, store: WatchedStore) -> None:
        self.expose_all(
            {
                "store": lambda: store.durations.by_labels,
                "store_conflicts": lambda: store.conflicts,
                "store_writes_total": lambda: store.writes,
                "store_feed_behind": lambda: store.behind,
                "store_size_bytes": lambda: store.size,
            }
        )

    def expose_hub(self, hub: CountingHub) -> None:
        """Everything that the xDS hub counts."""
        self.expose_all(
            {
                "xds_units_built_total": lambda: hub.counters.built,
                "xds_units_reused_total": lambda: hub.counters.reused,
                "xds_units_held": lambda: hub.counters.held,
                "xds_proxies_woken_total": lambda: hub.counters.woken,
                "external_services_unusable": lambda: _unusable(hub.faults),
            }
        )

    def expose_zones(self, zones: ZoneFigures) -> None:
        """Everything that global counts of its zones."""
        self.expose_all(
            {
                "zones_total": lambda: zones.total,
                "zones_online": lambda: zones.online,
                "kds_delta_streams_active": lambda: zones.open_streams,
            }
        )

    def expose_link(self, link: LinkFigures) -> None:
        """Everything that a zone counts of its connection to global."""
        self.expose_all(
            {
                "kds_connected": lambda: link.connected,
                "kds_connections_total": lambda: link.connections,
                "kds_connection_failures_total": lambda: link.failures,
                "kds_delta_streams_active": lambda: link.streams,
                "kds_streams_refused_total": lambda: link.ends,
            }
        )

    def expose_sync(self, traffic: Traffic) -> None:
        """Everything that either side counts of what goes over the streams."""
        self.expose_all(
            {
                "kds_delta_responses_sent": lambda: traffic.sent,
                "kds_delta_requests_received": lambda: _by_verdict(traffic.accepted, traffic.refused),
                "kds_responses_received_total": lambda: traffic.received,
                "kds_responses_rejected_total": lambda: traffic.rejected,
            }
        )

    def expose_vips(self, figures: VipFigures) -> None:
        """Everything that the allocation of virtual addresses counts."""
        self.expose_all(
            {
                "vip_generation": lambda: Summary(figures.generations, figures.generation_ms),
                "vip_generation_errors": lambda: figures.errors,
                "vip_allocation_exhaustion": lambda: dict(islice(figures.exhausted.items(), MAX_LABELS)),
                "vip_conflicts": lambda: dict(islice(figures.conflicts.items(), MAX_LABELS)),
            }
        )

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        rooms = exposition((self._specs[name], read()) for name, read in self._reads.items())
        return generate_latest(self._processes) + rooms.encode()


def _unusable(faults: Mapping[ResourceKey, str]) -> dict[tuple[str, ...], float]:
    unusable: dict[tuple[str, ...], float] = {(key.mesh, key.name): 1.0 for key in islice(faults, MAX_LABELS)}
    if len(faults) > MAX_LABELS:
        unusable[OTHER, OTHER] = float(len(faults) - MAX_LABELS)
    return unusable


def _verdicts(stats: DpServerStats) -> dict[tuple[str, ...], float]:
    return {
        (long_type(type_), verdict): number
        for (type_, verdict), number in _by_verdict(stats.acks, stats.nacks).items()
    }


def _by_verdict(acks: Mapping[str, int], nacks: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    """By type and verdict."""
    return {
        (type_, verdict): number
        for verdict, counter in (("ACK", acks), ("NACK", nacks))
        for type_, number in counter.items()
    }
