"""What global writes down of the control planes of a zone (contract 8.6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum

from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.messages import Node
from kumamesh.delta import Counters
from kumamesh.resources.insight import (
    KdsStream,
    KdsStreams,
    KdsSubscription,
    KdsSubscriptionStatus,
    KumaCpVersion,
    ServiceStats,
    ZoneHealthCheck,
    ZoneInsight,
    ZoneVersion,
)
from kumamesh.version import BUILD, compatible

KEPT_SUBSCRIPTIONS = 10
MAX_CONFIG_CHARS = 256 * 1024
"""The configuration of a control plane has 20 KB."""
MAX_WORD_CHARS = 100


class StreamKind(Enum):
    """The streams that a zone opens, by their names in a ZoneInsight."""

    GLOBAL_TO_ZONE = "global_to_zone"
    ZONE_TO_GLOBAL = "zone_to_global"
    CONFIG_DUMP = "config_dump"
    STATS = "stats"
    CLUSTERS = "clusters"


@dataclass(frozen=True, slots=True)
class Told:
    """What a zone's control plane says of itself once."""

    version: ZoneVersion
    config: str = field(repr=False)
    zone_instance_id: str
    token_provided: bool


@dataclass(frozen=True, slots=True)
class Subscription:
    """One stream from global to the zone at one moment. `traffic`: (sent, acknowledged, rejected) by type."""

    id: str
    global_instance_id: str
    connect_time: datetime
    told: Told
    traffic: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    disconnect_time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Observation:
    """A zone at one moment: subscriptions that are open, or ended since the last writing; when the newest
    stream of each kind that is open began; when the zone last called itself healthy."""

    subscriptions: tuple[Subscription, ...] = ()
    streams: Mapping[StreamKind, KdsStream] = field(default_factory=dict)
    healthy_at: datetime | None = None


def told_by(node: Node, *, token_provided: bool) -> Told:
    """What the metadata of a node tell, within bounds."""
    told = {key: value[:MAX_WORD_CHARS] for key, value in node.version.items()}
    version = told.get("version", "")
    return Told(
        version=ZoneVersion(
            kuma_cp=KumaCpVersion(
                version=version,
                git_tag=told.get("gitTag", ""),
                git_commit=told.get("gitCommit", ""),
                build_date=told.get("buildDate", ""),
                kuma_cp_global_compatible=compatible(version, BUILD.version),
            )
        ),
        config=node.config if len(node.config) <= MAX_CONFIG_CHARS else "",
        zone_instance_id=node.control_plane_id[:MAX_WORD_CHARS],
        token_provided=token_provided,
    )


def traffic(counters: Mapping[str, Counters]) -> dict[str, tuple[int, int, int]]:
    """Of the types that there are; a zone may ask for what it likes."""
    return {type_: (item.sent, item.acked, item.nacked) for type_, item in counters.items() if type_ in FLOWS}


def updated(previous: ZoneInsight | None, seen: Observation, now: datetime) -> ZoneInsight:
    """The insight with what was seen. Subscriptions that nobody sees are over: this global alone writes them,
    so they are those of its life before."""
    before = {item.id: item for item in previous.subscriptions} if previous else {}
    own = {item.id: _subscription(item, before.get(item.id), now) for item in seen.subscriptions}
    past = [ended(item, now) for item in before.values() if item.id not in own]
    healthy_at = seen.healthy_at
    if healthy_at is None and previous is not None and previous.health_check is not None:
        healthy_at = previous.health_check.time
    return ZoneInsight(
        subscriptions=_kept((*past, *own.values())),
        health_check=ZoneHealthCheck(time=healthy_at) if healthy_at else None,
        kds_streams=KdsStreams(**{kind.value: seen.streams.get(kind) for kind in StreamKind}),
    )


def ended(subscription: KdsSubscription, now: datetime) -> KdsSubscription:
    if not subscription.online:
        return subscription
    return subscription.model_copy(update={"disconnect_time": now})


def _kept(subscriptions: Iterable[KdsSubscription]) -> tuple[KdsSubscription, ...]:
    """The newest, those that are open before others; oldest first."""
    by_use = sorted(subscriptions, key=lambda item: (item.online, _begun(item)))
    return tuple(sorted(by_use[-KEPT_SUBSCRIPTIONS:], key=_begun))


def _begun(subscription: KdsSubscription) -> float:
    return subscription.connect_time.timestamp() if subscription.connect_time else 0.0


def _subscription(seen: Subscription, before: KdsSubscription | None, now: datetime) -> KdsSubscription:
    return KdsSubscription(
        id=seen.id,
        global_instance_id=seen.global_instance_id,
        zone_instance_id=seen.told.zone_instance_id,
        connect_time=seen.connect_time,
        disconnect_time=seen.disconnect_time,
        status=_status(seen.traffic, now),
        version=seen.told.version,
        generation=before.generation + 1 if before else 1,
        config=seen.told.config,
        auth_token_provided=seen.told.token_provided,
    )


def _status(seen: Mapping[str, tuple[int, int, int]], now: datetime) -> KdsSubscriptionStatus:
    total = tuple(sum(column) for column in zip(*seen.values(), strict=True)) if seen else (0, 0, 0)
    return KdsSubscriptionStatus(
        last_update_time=now,
        total=_stats(total),
        stat={type_: _stats(counted) for type_, counted in sorted(seen.items())},
    )


def _stats(counted: tuple[int, ...]) -> ServiceStats:
    sent, acknowledged, rejected = counted
    return ServiceStats(responses_sent=sent, responses_acknowledged=acknowledged, responses_rejected=rejected)
