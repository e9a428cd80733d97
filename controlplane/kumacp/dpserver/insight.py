"""What the control plane writes down of a connected proxy (contract 3.5; kuma-cp 2.13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kumamesh.delta import Counters
from kumamesh.resource import ResourceKey
from kumamesh.resources.insight import (
    DataplaneInsight,
    DataplaneInsightMtls,
    DiscoverySubscription,
    DiscoverySubscriptionStatus,
    EnvoyVersion,
    KumaDpVersion,
    ServiceStats,
    Version,
    ZoneEgressInsight,
    ZoneIngressInsight,
)
from kumamesh.version import BUILD, compatible
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, ROUTE

ProxyInsight = DataplaneInsight | ZoneIngressInsight | ZoneEgressInsight

KEPT_SUBSCRIPTIONS = 2
_SPECS: Mapping[str, type[ProxyInsight]] = {
    "Dataplane": DataplaneInsight,
    "ZoneIngress": ZoneIngressInsight,
    "ZoneEgress": ZoneEgressInsight,
}
_DEPENDENCIES = "version.dependencies"
NO_TRAFFIC = (0, 0, 0)


@dataclass(frozen=True, slots=True)
class Certificate:
    """The workload certificate that a proxy accepted last."""

    issued_at: datetime
    expires: datetime
    backend: str
    supported_backends: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Observation:
    """One stream at one moment. `traffic` is (sent, acknowledged, rejected) by type URL. Until the stream has
    a certificate, `inherits_mtls` says whether what an earlier one wrote of mTLS still holds: not when mTLS
    was off in between."""

    subscription_id: str
    control_plane_id: str
    connect_time: datetime
    version: Version
    metadata: Mapping[str, Any] = field(repr=False)
    traffic: Mapping[str, tuple[int, int, int]] = field(default_factory=dict)
    certificate: Certificate | None = None
    inherits_mtls: bool = True
    disconnect_time: datetime | None = None


def insight_key(proxy: ResourceKey) -> ResourceKey:
    return proxy._replace(type=f"{proxy.type}Insight")


def traffic(counters: Mapping[str, Counters]) -> dict[str, tuple[int, int, int]]:
    return {type_url: (item.sent, item.acked, item.nacked) for type_url, item in counters.items()}


def updated(previous: ProxyInsight | None, proxy_type: str, seen: Observation, now: datetime) -> ProxyInsight:
    """The insight with what was seen: the stream's subscription is the last. Others are over, for a proxy has
    one stream at a time: those of a control plane that crashed would be online for ever."""
    before = previous.subscriptions if previous else ()
    own = next((item for item in before if item.id == seen.subscription_id), None)
    others = (ended(item, now) for item in before if item.id != seen.subscription_id)
    subscription = DiscoverySubscription(
        id=seen.subscription_id,
        control_plane_instance_id=seen.control_plane_id,
        connect_time=seen.connect_time,
        disconnect_time=seen.disconnect_time,
        status=_status(seen.traffic, now),
        version=seen.version,
        generation=own.generation + 1 if own else 1,
    )
    subscriptions = (*others, subscription)[-KEPT_SUBSCRIPTIONS:]
    common: dict[str, Any] = {"subscriptions": subscriptions, "metadata": seen.metadata}
    if proxy_type == "Dataplane":
        known = previous.m_tls if isinstance(previous, DataplaneInsight) else None
        known = known if seen.inherits_mtls or seen.certificate else None
        return DataplaneInsight(**common, m_tls=_mtls(known, seen.certificate))
    return _SPECS[proxy_type](**common)


def ended(subscription: DiscoverySubscription, now: datetime) -> DiscoverySubscription:
    if not subscription.online:
        return subscription
    return subscription.model_copy(update={"disconnect_time": now})


def all_ended(insight: ProxyInsight, now: datetime) -> ProxyInsight:
    """The insight of a proxy whose streams are all over."""
    subscriptions = tuple(ended(item, now) for item in insight.subscriptions)
    return insight.model_copy(update={"subscriptions": subscriptions})


def without_mtls(insight: DataplaneInsight) -> DataplaneInsight:
    """The insight of a proxy in a mesh whose mTLS was switched off."""
    return insight.model_copy(update={"m_tls": None})


def proxy_version(metadata: Mapping[str, Any]) -> Version:
    """Versions as the node metadata tell them; what is not text is left out."""
    told = _object(metadata.get("version"))
    kuma_dp, envoy = _object(told.get("kumaDp")), _object(told.get("envoy"))
    version = _text(kuma_dp, "version")
    dependencies = {
        key.removeprefix(_DEPENDENCIES).lstrip("."): value
        for key, value in _object(metadata.get("dynamicMetadata")).items()
        if key.startswith(_DEPENDENCIES) and isinstance(value, str)
    }
    return Version(
        kuma_dp=KumaDpVersion(
            version=version,
            git_tag=_text(kuma_dp, "gitTag"),
            git_commit=_text(kuma_dp, "gitCommit"),
            build_date=_text(kuma_dp, "buildDate"),
            kuma_cp_compatible=compatible(version, BUILD.version),
        ),
        envoy=EnvoyVersion(
            version=_text(envoy, "version"),
            build=_text(envoy, "build"),
            kuma_dp_compatible=envoy.get("kumaDpCompatible") is True,
        ),
        dependencies=dependencies,
    )


def _status(seen: Mapping[str, tuple[int, int, int]], now: datetime) -> DiscoverySubscriptionStatus:
    total = tuple(sum(column) for column in zip(*seen.values(), strict=True)) if seen else NO_TRAFFIC
    return DiscoverySubscriptionStatus(
        last_update_time=now,
        total=_stats(total),
        cds=_stats(seen.get(CLUSTER, NO_TRAFFIC)),
        eds=_stats(seen.get(ENDPOINT, NO_TRAFFIC)),
        lds=_stats(seen.get(LISTENER, NO_TRAFFIC)),
        rds=_stats(seen.get(ROUTE, NO_TRAFFIC)),
    )


def _stats(counted: tuple[int, ...]) -> ServiceStats:
    sent, acknowledged, rejected = counted
    return ServiceStats(responses_sent=sent, responses_acknowledged=acknowledged, responses_rejected=rejected)


def _mtls(known: DataplaneInsightMtls | None, issued: Certificate | None) -> DataplaneInsightMtls | None:
    if issued is None or (known is not None and known.last_certificate_regeneration == issued.issued_at):
        return known
    return DataplaneInsightMtls(
        certificate_expiration_time=issued.expires,
        last_certificate_regeneration=issued.issued_at,
        certificate_regenerations=(known.certificate_regenerations if known else 0) + 1,
        issued_backend=issued.backend,
        supported_backends=issued.supported_backends,
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(mapping: Mapping[str, Any], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""
