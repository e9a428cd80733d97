"""What a proxy is to check, and what its reports mean for its inbounds (contract 3.6). Pure.

Envoy reports everything that it was asked to check, again and again, whether it changed or not. It calls a
workload that it has not reached yet UNHEALTHY, so a probed inbound is not ready until it was reached.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from kumacp.dpserver.node import ProxyNode
from kumacp.manager.inbound_states import probed, with_inbounds, with_readiness
from kumacp.settings import CpSettings
from kumacp.xds.admin import ADMIN_ADDRESSES
from kumacp.xds.model import ProxyMetadata
from kumacp.xds.transparent import redirection, workload_source
from kumamesh.durations import parse_duration
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL, format_address
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane, Inbound, Networking
from kumamesh.resources.rules.common import is_ip

EAGER_S = 1.0
"""How often a proxy reports at least while a workload is not ready: it may be starting."""
_SHORTEST_S, _LONGEST_S = 0.01, 86_400.0
_MOST = 2**32 - 1


class Target(NamedTuple):
    """What is checked; `address` is an IP address in the form that `target` gives it."""

    address: str
    port: int


def target(address: str, port: int) -> Target:
    """Envoy reports on `fd00::1` when it was asked about `FD00:0::1`: both are written in one way here."""
    try:
        return Target(str(ipaddress.ip_address(address)), port)
    except ValueError:
        return Target(address, port)


@dataclass(frozen=True, slots=True)
class CheckTiming:
    """Seconds, and how many results in a row count."""

    interval: float
    timeout: float
    no_traffic_interval: float
    healthy_threshold: int
    unhealthy_threshold: int


@dataclass(frozen=True, slots=True)
class Probe:
    """One workload. `source` is the address that it is reached from, "" for any."""

    target: Target
    timing: CheckTiming
    source: str = ""


@dataclass(frozen=True, slots=True)
class Checks:
    """Everything that a proxy is to check, and how often it reports, in seconds. `admin` is its own Envoy."""

    interval: float
    admin: Target | None
    admin_timing: CheckTiming
    probes: tuple[Probe, ...]


@dataclass(frozen=True, slots=True)
class Vantage:
    """Where a proxy checks from: its Envoy's `admin`, and what it says of itself."""

    admin: Target | None
    metadata: ProxyMetadata


@dataclass(frozen=True, slots=True)
class HealthSettings:
    """`pause`: a proxy is not told more often than that to check something else; in seconds."""

    interval: float
    pause: float
    defaults: CheckTiming


@dataclass(frozen=True, slots=True)
class StateChange:
    """An inbound that is to take traffic from now on, or no longer, and why."""

    inbound: str
    ready: bool
    reason: str


Report = Mapping[Target, bool]
"""What a proxy found to be healthy or not."""


def health_settings(settings: CpSettings) -> HealthSettings:
    return HealthSettings(
        interval=_bounded(settings.hds_interval),
        pause=max(settings.hds_refresh_interval, 0.0),
        defaults=CheckTiming(
            interval=_bounded(settings.hds_check_interval),
            timeout=_bounded(settings.hds_check_timeout),
            no_traffic_interval=_bounded(settings.hds_check_no_traffic_interval),
            healthy_threshold=_count(settings.hds_check_healthy_threshold),
            unhealthy_threshold=_count(settings.hds_check_unhealthy_threshold),
        ),
    )


def vantage(node: ProxyNode) -> Vantage:
    """As the proxy says of itself."""
    address, port = ADMIN_ADDRESSES[node.proxy.admin_address], node.proxy.admin_port
    return Vantage(Target(address, port) if port else None, node.proxy)


def checks(dataplane: Dataplane, at: Vantage, settings: HealthSettings) -> Checks:
    """What the proxy of a Dataplane is to check. Of two probes of one workload the first counts."""
    networking = dataplane.networking
    redirected = redirection(dataplane, at.metadata) is not None
    probes: dict[Target, Probe] = {}
    waiting = False
    for inbound in networking.inbound:
        workload = _target(networking, inbound)
        if workload is not None:
            waiting = waiting or not inbound.healthy
            probes.setdefault(workload, _probe(inbound, workload, settings.defaults, redirected=redirected))
    interval = min(settings.interval, EAGER_S) if waiting else settings.interval
    return Checks(interval, at.admin, settings.defaults, tuple(probes.values()))


def decide(
    dataplane: Dataplane, admin: Target | None, report: Report
) -> tuple[Dataplane, tuple[StateChange, ...]]:
    """The Dataplane with the states that a report gives its inbounds, and which of them are others now.

    What a report says nothing of stays as it is: it was made before that was asked for.
    """
    networking = dataplane.networking
    envoy = report.get(admin) if admin else True
    if envoy is None:
        return dataplane, ()
    changes: list[StateChange] = []

    def judge(inbound: Inbound) -> Inbound:
        workload = _target(networking, inbound)
        found = report.get(workload) if workload else True
        ready = found if envoy else False
        if inbound.state == "Ignored" or ready is None or ready is inbound.healthy:
            return inbound
        changes.append(StateChange(_name(networking, inbound), ready, _reason(envoy, ready, workload)))
        return with_readiness(inbound, ready)

    return with_inbounds(dataplane, judge), tuple(changes)


def left_unready(resources: Iterable[Resource]) -> tuple[str, ...]:
    """Proxies with an inbound that takes no traffic and that no connection will write anew; perhaps health
    discovery left it so."""
    return tuple(
        f"{resource.mesh}.{resource.name}"
        for resource in resources
        if isinstance(resource.spec, Dataplane)
        and resource.labels.get(MANAGED_BY_LABEL) != MANAGED_BY_CONNECTION
        and any(inbound.state == "NotReady" for inbound in resource.spec.networking.inbound)
    )


def _target(networking: Networking, inbound: Inbound) -> Target | None:
    """The workload of a probed inbound. One that is known by its name only cannot be checked by Envoy."""
    if inbound.state == "Ignored" or not probed(inbound):
        return None
    address, port = networking.workload(inbound)
    return target(address, port) if is_ip(address) else None


def _probe(inbound: Inbound, workload: Target, defaults: CheckTiming, *, redirected: bool) -> Probe:
    probe = inbound.service_probe
    assert probe is not None
    interval = _bounded(parse_duration(probe.interval)) if probe.interval else None
    timing = CheckTiming(
        interval=interval or defaults.interval,
        timeout=_bounded(parse_duration(probe.timeout)) if probe.timeout else defaults.timeout,
        # The one that Envoy goes by: connections of checks are not traffic to it.
        no_traffic_interval=interval or defaults.no_traffic_interval,
        healthy_threshold=_count(probe.healthy_threshold or defaults.healthy_threshold),
        unhealthy_threshold=_count(probe.unhealthy_threshold or defaults.unhealthy_threshold),
    )
    return Probe(workload, timing, workload_source(workload.address) if redirected else "")


def _bounded(seconds: float) -> float:
    """Envoy ends itself when it is sent a duration that it cannot count."""
    return min(max(seconds, _SHORTEST_S), _LONGEST_S)


def _count(threshold: int) -> int:
    return min(max(threshold, 1), _MOST)


def _name(networking: Networking, inbound: Inbound) -> str:
    return f"{format_address(networking.inbound_address(inbound), inbound.port)} of {inbound.service}"


def _reason(envoy: bool, ready: bool, workload: Target | None) -> str:
    if not envoy:
        return "its Envoy drains, or does not serve yet"
    if workload is None:
        return "its Envoy serves"
    return f"its workload at {format_address(*workload)} {'can' if ready else 'cannot'} be reached"
