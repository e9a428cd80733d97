"""Mesh: what holds for all proxies of one mesh (kuma-cp 2.5)."""

from __future__ import annotations

from typing import Any, Literal

from kumamesh.durations import parse_duration
from kumamesh.resources.base import EMPTY, Duration, Flag, Number, Spec, Struct, Tags
from kumamesh.resources.dataplane import MetricsBackend

DAY_S = 86_400.0
DEFAULT_CERTIFICATE_LIFETIME_S = DAY_S
DEFAULT_CA_LIFETIME_S = 10 * 365 * DAY_S
DEFAULT_RSA_BITS = 2048


class DpCertRotation(Spec):
    expiration: str = ""


class DpCert(Spec):
    rotation: DpCertRotation | None = None
    request_timeout: Duration | None = None


class RootChain(Spec):
    request_timeout: Duration | None = None


class MtlsBackend(Spec):
    """A certificate authority; `conf` has the form that `type` says."""

    name: str = ""
    type: str = ""
    mode: Literal["STRICT", "PERMISSIVE"] = "STRICT"
    dp_cert: DpCert | None = None
    conf: Struct = EMPTY
    root_chain: RootChain | None = None

    @property
    def certificate_lifetime_s(self) -> float:
        """Seconds that a workload certificate is valid."""
        rotation = self.dp_cert.rotation if self.dp_cert else None
        if rotation is None or not rotation.expiration:
            return DEFAULT_CERTIFICATE_LIFETIME_S
        return parse_duration(rotation.expiration)

    @property
    def ca_lifetime_s(self) -> float:
        """Seconds that the root of a builtin backend is valid."""
        text = self._ca_cert("expiration")
        return parse_duration(text) if text else DEFAULT_CA_LIFETIME_S

    @property
    def rsa_bits(self) -> int:
        """Size of the key of a builtin backend."""
        return int(self._ca_cert("RSAbits") or DEFAULT_RSA_BITS)

    def _ca_cert(self, key: str) -> Any:
        return (self.conf.get("caCert") or EMPTY).get(key)


class Mtls(Spec):
    enabled_backend: str = ""
    backends: tuple[MtlsBackend, ...] = ()
    skip_validation: Flag = False


class Routing(Spec):
    locality_aware_load_balancing: Flag = False
    zone_egress: Flag = False
    default_forbid_mesh_external_service_access: Flag = False


class MeshOutbound(Spec):
    passthrough: Flag | None = None


class MeshNetworking(Spec):
    outbound: MeshOutbound = MeshOutbound()


class ConstraintRule(Spec):
    tags: Tags = EMPTY


class DataplaneProxyConstraints(Spec):
    requirements: tuple[ConstraintRule, ...] = ()
    restrictions: tuple[ConstraintRule, ...] = ()


class Constraints(Spec):
    dataplane_proxy: DataplaneProxyConstraints = DataplaneProxyConstraints()


class MeshServices(Spec):
    mode: Literal["Disabled", "Everywhere", "ReachableBackends", "Exclusive"] = "Disabled"


class Metrics(Spec):
    enabled_backend: str = ""
    backends: tuple[MetricsBackend, ...] = ()


class LoggingBackend(Spec):
    name: str = ""
    format: str = ""
    type: str = ""
    conf: Struct = EMPTY


class Logging(Spec):
    default_backend: str = ""
    backends: tuple[LoggingBackend, ...] = ()


class TracingBackend(Spec):
    name: str = ""
    sampling: Number | None = None
    type: str = ""
    conf: Struct = EMPTY


class Tracing(Spec):
    default_backend: str = ""
    backends: tuple[TracingBackend, ...] = ()


class Mesh(Spec):
    mtls: Mtls | None = None
    routing: Routing = Routing()
    networking: MeshNetworking = MeshNetworking()
    constraints: Constraints = Constraints()
    mesh_services: MeshServices = MeshServices()
    skip_creating_initial_policies: tuple[str, ...] = ()
    metrics: Metrics | None = None
    logging: Logging | None = None
    tracing: Tracing | None = None

    @property
    def enabled_backend(self) -> MtlsBackend | None:
        """The authority in use; None if the mesh has no mTLS."""
        if self.mtls is None or not self.mtls.enabled_backend:
            return None
        named = (backend for backend in self.mtls.backends if backend.name == self.mtls.enabled_backend)
        return next(named, None)

    @property
    def passthrough(self) -> bool:
        """Whether proxies let traffic to addresses outside the mesh pass."""
        return self.networking.outbound.passthrough is not False
