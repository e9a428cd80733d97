"""Dataplane: one proxy of the mesh and the workload behind it (kuma-cp 2.1, contract 5.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from kumamesh.names import PROTOCOL_TAG, SERVICE_TAG
from kumamesh.resources.base import EMPTY, Duration, Flag, Spec, Struct, Tags, WholeNumber

InboundState = Literal["Ready", "NotReady", "Ignored"]


class EnvoyAdmin(Spec):
    port: WholeNumber = 0


class Health(Spec):
    """Deprecated in favour of the state of the inbound."""

    ready: Flag = False


class ServiceProbeTcp(Spec):
    """A TCP connect; has no settings."""


class ServiceProbe(Spec):
    interval: Duration | None = None
    timeout: Duration | None = None
    unhealthy_threshold: WholeNumber | None = None
    healthy_threshold: WholeNumber | None = None
    tcp: ServiceProbeTcp | None = None


class Inbound(Spec):
    """One port of the workload. Empty addresses and zero ports have defaults: see `Networking.workload`."""

    port: WholeNumber = 0
    address: str = ""
    service_port: WholeNumber = 0
    service_address: str = ""
    tags: Tags = EMPTY
    name: str = ""
    protocol: str = ""
    state: InboundState = "Ready"
    health: Health | None = None
    service_probe: ServiceProbe | None = None

    @property
    def service(self) -> str:
        return self.tags.get(SERVICE_TAG, "")

    @property
    def protocol_name(self) -> str:
        return self.tags.get(PROTOCOL_TAG) or self.protocol or "tcp"

    @property
    def healthy(self) -> bool:
        return self.state == "Ready" and (self.health is None or self.health.ready)


class BackendRef(Spec):
    kind: str = ""
    name: str = ""
    port: WholeNumber = 0
    labels: Tags = EMPTY


class Outbound(Spec):
    """A local address through which the workload reaches a service."""

    address: str = "127.0.0.1"
    port: WholeNumber = 0
    tags: Tags = EMPTY
    backend_ref: BackendRef | None = None

    @property
    def service(self) -> str:
        return self.tags.get(SERVICE_TAG, "")


class Gateway(Spec):
    tags: Tags = EMPTY
    type: Literal["DELEGATED", "BUILTIN"] = "DELEGATED"

    @property
    def service(self) -> str:
        return self.tags.get(SERVICE_TAG, "")


class ReachableBackendRef(Spec):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    port: WholeNumber | None = None
    labels: Tags = EMPTY


class ReachableBackends(Spec):
    refs: tuple[ReachableBackendRef, ...] = ()


class TransparentProxying(Spec):
    redirect_port_inbound: WholeNumber = 0
    redirect_port_outbound: WholeNumber = 0
    direct_access_services: tuple[str, ...] = ()
    reachable_services: tuple[str, ...] = ()
    ip_family_mode: Literal["UnSpecified", "DualStack", "IPv4", "IPv6"] = "UnSpecified"
    reachable_backends: ReachableBackends | None = None


class Networking(Spec):
    address: str = ""
    advertised_address: str = ""
    admin: EnvoyAdmin | None = None
    gateway: Gateway | None = None
    inbound: tuple[Inbound, ...] = ()
    outbound: tuple[Outbound, ...] = ()
    transparent_proxying: TransparentProxying | None = None

    def inbound_address(self, inbound: Inbound) -> str:
        """Where the listener of the inbound listens."""
        return inbound.address or self.address

    def workload(self, inbound: Inbound) -> tuple[str, int]:
        """Address and port of the application behind the inbound."""
        return (
            inbound.service_address or self.inbound_address(inbound),
            inbound.service_port or inbound.port,
        )

    @property
    def advertised(self) -> str:
        """The address that other proxies use."""
        return self.advertised_address or self.address


class MetricsBackend(Spec):
    """Where metrics go; `conf` has the form that `type` says."""

    name: str = ""
    type: str = ""
    conf: Struct = EMPTY


class ProbeEndpoint(Spec):
    inbound_port: WholeNumber = 0
    inbound_path: str = ""
    path: str = ""


class Probes(Spec):
    port: WholeNumber = 0
    endpoints: tuple[ProbeEndpoint, ...] = ()


class Dataplane(Spec):
    networking: Networking = Networking()
    metrics: MetricsBackend | None = None
    probes: Probes | None = None

    def tag_sets(self) -> Iterator[Mapping[str, str]]:
        """Tags of the gateway, or of every inbound."""
        if self.networking.gateway is not None:
            yield self.networking.gateway.tags
        for inbound in self.networking.inbound:
            yield inbound.tags

    def services(self) -> tuple[str, ...]:
        """The distinct services of the proxy, sorted."""
        return tuple(sorted({tags[SERVICE_TAG] for tags in self.tag_sets() if SERVICE_TAG in tags}))

    def tag_values(self) -> dict[str, tuple[str, ...]]:
        """Every tag of the proxy with its distinct values, both sorted."""
        values: dict[str, set[str]] = {}
        for tags in self.tag_sets():
            for tag, value in tags.items():
                values.setdefault(tag, set()).add(value)
        return {tag: tuple(sorted(values[tag])) for tag in sorted(values)}
