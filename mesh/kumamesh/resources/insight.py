"""What the control plane observed (contract 3.5, kuma-cp 2.13). Written by it alone; no rules apply."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from kumamesh.resources.base import (
    EMPTY,
    Counter,
    Counts,
    Flag,
    FrozenSchema,
    Spec,
    Struct,
    Tags,
    Time,
    WholeNumber,
)


class ServiceStats(Spec):
    """Responses of one discovery service, or of all."""

    responses_sent: Counter = 0
    responses_acknowledged: Counter = 0
    responses_rejected: Counter = 0


class DiscoverySubscriptionStatus(Spec):
    last_update_time: Time | None = None
    total: ServiceStats = ServiceStats()
    cds: ServiceStats = ServiceStats()
    eds: ServiceStats = ServiceStats()
    lds: ServiceStats = ServiceStats()
    rds: ServiceStats = ServiceStats()


class KumaDpVersion(Spec):
    version: str = ""
    git_tag: str = ""
    git_commit: str = ""
    build_date: str = ""
    kuma_cp_compatible: Flag = False


class EnvoyVersion(Spec):
    version: str = ""
    build: str = ""
    kuma_dp_compatible: Flag = False


class Version(Spec):
    kuma_dp: KumaDpVersion = KumaDpVersion()
    envoy: EnvoyVersion = EnvoyVersion()
    dependencies: Tags = EMPTY


class DiscoverySubscription(Spec):
    """One xDS stream of a proxy."""

    id: str = ""
    control_plane_instance_id: str = ""
    connect_time: Time | None = None
    disconnect_time: Time | None = None
    status: DiscoverySubscriptionStatus = DiscoverySubscriptionStatus()
    version: Version | None = None
    generation: WholeNumber = 0

    @property
    def online(self) -> bool:
        return self.connect_time is not None and self.disconnect_time is None


class DataplaneInsightMtls(Spec):
    certificate_expiration_time: Time | None = None
    last_certificate_regeneration: Time | None = None
    certificate_regenerations: WholeNumber = 0
    issued_backend: str = ""
    supported_backends: tuple[str, ...] = ()


class _ProxyInsight(Spec):
    subscriptions: tuple[DiscoverySubscription, ...] = ()
    metadata: Struct = EMPTY

    @property
    def online(self) -> bool:
        return any(subscription.online for subscription in self.subscriptions)

    @property
    def last_subscription(self) -> DiscoverySubscription | None:
        return self.subscriptions[-1] if self.subscriptions else None


class DataplaneInsight(_ProxyInsight):
    m_tls: DataplaneInsightMtls | None = Field(
        default=None, validation_alias="mTLS", serialization_alias="mTLS"
    )


class ZoneIngressInsight(_ProxyInsight):
    pass


class ZoneEgressInsight(_ProxyInsight):
    pass


class DataplaneCount(Spec):
    total: WholeNumber = 0
    online: WholeNumber = 0
    offline: WholeNumber = 0
    partially_degraded: WholeNumber = 0


class ServiceDataplanes(Spec):
    total: WholeNumber = 0
    online: WholeNumber = 0
    offline: WholeNumber = 0


ServiceStatus = Literal["none", "offline", "partially_degraded", "online", "not_available"]
ServiceKind = Literal["internal", "external", "gateway_delegated", "gateway_builtin"]


class ServiceState(Spec):
    """One service of a ServiceInsight."""

    status: ServiceStatus = "none"
    dataplanes: ServiceDataplanes = ServiceDataplanes()
    issued_backends: Counts = EMPTY
    service_type: ServiceKind = "internal"
    address_port: str = ""
    zones: tuple[str, ...] = ()


class ServiceInsight(Spec):
    """All services of a mesh, in the resource `all-services-<mesh>`."""

    services: Annotated[Mapping[str, ServiceState], FrozenSchema(ServiceState)] = EMPTY


CountsByName = Annotated[Mapping[str, DataplaneCount], FrozenSchema(DataplaneCount)]


class Total(Spec):
    total: WholeNumber = 0


Totals = Annotated[Mapping[str, Total], FrozenSchema(Total)]


class DpVersions(Spec):
    kuma_dp: CountsByName = EMPTY
    envoy: CountsByName = EMPTY


class MeshInsightMtls(Spec):
    issued_backends: CountsByName = EMPTY
    supported_backends: CountsByName = EMPTY


class ServiceCount(Spec):
    total: WholeNumber = 0
    internal: WholeNumber = 0
    external: WholeNumber = 0


class DataplanesByType(Spec):
    standard: DataplaneCount = DataplaneCount()
    gateway: DataplaneCount = DataplaneCount()
    gateway_builtin: DataplaneCount = DataplaneCount()
    gateway_delegated: DataplaneCount = DataplaneCount()


class MeshInsight(Spec):
    dataplanes: DataplaneCount = DataplaneCount()
    dataplanes_by_type: DataplanesByType = DataplanesByType()
    policies: Totals = EMPTY
    resources: Totals = EMPTY
    dp_versions: DpVersions = DpVersions()
    m_tls: MeshInsightMtls = Field(
        default=MeshInsightMtls(), validation_alias="mTLS", serialization_alias="mTLS"
    )
    services: ServiceCount = ServiceCount()


class KumaCpVersion(Spec):
    version: str = ""
    git_tag: str = ""
    git_commit: str = ""
    build_date: str = ""
    kuma_cp_global_compatible: Flag = False


class ZoneVersion(Spec):
    kuma_cp: KumaCpVersion = KumaCpVersion()


class KdsSubscriptionStatus(Spec):
    last_update_time: Time | None = None
    total: ServiceStats = ServiceStats()
    stat: Annotated[Mapping[str, ServiceStats], FrozenSchema(ServiceStats)] = EMPTY


class KdsSubscription(Spec):
    """One connection of a zone's control plane to the global one."""

    id: str = ""
    global_instance_id: str = ""
    zone_instance_id: str = ""
    connect_time: Time | None = None
    disconnect_time: Time | None = None
    status: KdsSubscriptionStatus = KdsSubscriptionStatus()
    version: ZoneVersion | None = None
    generation: WholeNumber = 0
    config: str = ""
    auth_token_provided: Flag = False

    @property
    def online(self) -> bool:
        return self.connect_time is not None and self.disconnect_time is None


class EnvoyAdminStreams(Spec):
    config_dump_global_instance_id: str = ""
    stats_global_instance_id: str = ""
    clusters_global_instance_id: str = ""


class ZoneHealthCheck(Spec):
    time: Time | None = None


class KdsStream(Spec):
    global_instance_id: str = ""
    connect_time: Time | None = None


class KdsStreams(Spec):
    clusters: KdsStream | None = None
    config_dump: KdsStream | None = None
    stats: KdsStream | None = None
    global_to_zone: KdsStream | None = None
    zone_to_global: KdsStream | None = None


class ZoneInsight(Spec):
    subscriptions: tuple[KdsSubscription, ...] = ()
    envoy_admin_streams: EnvoyAdminStreams | None = None
    health_check: ZoneHealthCheck | None = None
    kds_streams: KdsStreams | None = None

    @property
    def online(self) -> bool:
        """Whether a control plane of the zone is connected; the zone may be disabled."""
        return any(subscription.online for subscription in self.subscriptions)
