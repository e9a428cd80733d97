"""What this run will be: settings, the resource and facts about the host in, one frozen plan out. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kumadp import name_serving
from kumadp.envoy.argv import envoy_argv
from kumadp.envoy.version import EnvoyVersion
from kumadp.name_serving import NameServing
from kumadp.proxy_resource import ProxyResource
from kumadp.settings import DpSettings
from kumadp_bootstrap.paths import readiness_reporter
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.version import BUILD

if TYPE_CHECKING:
    from kumamesh.transparent_proxy.config import Config

DEFAULT_ADMIN_PORT = 9901
DEFAULT_MESH = "default"


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the proxy is; `mesh` is "" for zone proxies."""

    proxy_type: str
    mesh: str
    name: str


@dataclass(frozen=True, slots=True)
class Paths:
    """Files of this run."""

    work_dir: Path

    @property
    def bootstrap(self) -> Path:
        return self.work_dir / "bootstrap.yaml"

    @property
    def relay_socket(self) -> Path:
        return self.work_dir / "kuma-xds.sock"

    @property
    def readiness_socket(self) -> Path:
        return Path(readiness_reporter(str(self.work_dir)))


@dataclass(frozen=True, slots=True)
class HostFacts:
    """What the plan needs to know of the host. Ports are reserved for this run; `admin_port` is 0 when the
    resource names one or there is no resource, `dns_port` and `dns_metrics_port` when there is no such
    server."""

    work_dir: Path
    admin_port: int
    readiness_port: int
    envoy_binary: Path
    envoy_version: EnvoyVersion
    ca_pem: str
    system_ca_path: str
    ipv6: bool
    memory_limit_bytes: int
    token_path: Path | None
    dns_port: int = 0
    dns_metrics_port: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything decided before the control plane is asked."""

    identity: Identity
    resource: ProxyResource | None
    features: tuple[str, ...]
    paths: Paths
    facts: HostFacts
    bootstrap_url: str
    envoy_argv: tuple[str, ...]
    dns_marker: int = 0
    """`dnsPort` of the request: any port but 0 says that DNS is on."""
    transparent_proxy: Mapping[str, Any] | None = None
    """`dataplaneConfig` of the request."""
    notes: tuple[str, ...] = ()

    def request(self, token: str) -> dict[str, Any]:
        """The body of POST /bootstrap (contract 1.2)."""
        facts = self.facts
        body: dict[str, Any] = {
            "mesh": self.identity.mesh,
            "name": self.identity.name,
            "proxyType": self.identity.proxy_type,
            "version": {"kumaDp": BUILD.to_wire(), "envoy": facts.envoy_version.to_wire()},
            "caCert": facts.ca_pem,
            "dynamicMetadata": None,
            "readinessPort": facts.readiness_port,
            "operatingSystem": "linux",
            "features": list(self.features),
            "resources": {"maxHeapSizeBytes": facts.memory_limit_bytes},
            "workdir": str(self.paths.work_dir),
            "metricsResources": {"certPath": "", "keyPath": ""},
            "systemCaPath": facts.system_ca_path,
            "ipv6Enabled": facts.ipv6,
            "spireResources": {"socketPath": ""},
        }
        if token:
            body["dataplaneToken"] = token
        if facts.token_path:
            body["dataplaneTokenPath"] = str(facts.token_path)
        if self.resource:
            body["dataplaneResource"] = self.resource.to_wire()
        if self.dns_marker:
            body["dnsPort"] = self.dns_marker
        if self.transparent_proxy:
            body["dataplaneConfig"] = dict(self.transparent_proxy)
        return body


def identify(settings: DpSettings, resource: ProxyResource | None) -> Identity:
    """Name and mesh from the flags or from the resource, never from both."""
    if resource is None:
        if not settings.name:
            raise UserError(
                "the proxy has no name; give --dataplane-file with its resource, or --name of a resource "
                "that the control plane has",
                exit_code=EXIT_USAGE,
            )
        mesh = (settings.mesh or DEFAULT_MESH) if settings.proxy_type == "dataplane" else ""
        return Identity(settings.proxy_type, mesh, settings.name)
    for flag, value in (("--name", settings.name), ("--mesh", settings.mesh)):
        if value:
            raise UserError(
                f"{flag} cannot be given together with a resource; it is read from the resource",
                exit_code=EXIT_USAGE,
            )
    return Identity(settings.proxy_type, resource.mesh, resource.name)


def check(settings: DpSettings) -> None:
    """Values that no single option can judge."""
    for name, value in (
        ("--drain-time", settings.drain_time),
        ("KUMA_CONTROL_PLANE_RETRY_BACKOFF", settings.retry_backoff),
        ("KUMA_CONTROL_PLANE_RETRY_MAX_DURATION", settings.retry_max_duration),
    ):
        if value <= 0:
            raise UserError(f"{name} must be greater than 0", exit_code=EXIT_USAGE)
    if not 0 < settings.readiness_port <= 65535:
        raise UserError("KUMA_READINESS_PORT must be between 1 and 65535", exit_code=EXIT_USAGE)
    if settings.concurrency < 0:
        raise UserError("--concurrency must not be negative", exit_code=EXIT_USAGE)
    bootstrap_url(settings.cp_address)


def bootstrap_url(cp_address: str) -> str:
    """Where to post; whatever path the address has is replaced (kuma-dp 1.2)."""
    try:
        parts = urlsplit(cp_address)
        # The last is what the resolver does to a name before it asks anybody.
        usable = parts.scheme in ("http", "https") and parts.port != 0 and _as_host(parts.hostname)
    except ValueError:
        usable = False
    if "@" in cp_address:
        # Not repeated: it may hold a password.
        raise UserError(
            "--cp-address must not hold a user name or a password; proxies show who they are by their token",
            exit_code=EXIT_USAGE,
        )
    if not usable or any(sign.isspace() or not sign.isprintable() for sign in cp_address):
        raise UserError(
            f"--cp-address (KUMA_CONTROL_PLANE_URL) {cp_address!r} is not a URL such as https://localhost:5678",
            exit_code=EXIT_USAGE,
        )
    return parts._replace(path="/bootstrap", fragment="").geturl()


def _as_host(name: str | None) -> bytes:
    """Raises UnicodeError, a ValueError, for what cannot be a host name."""
    return (name or "").encode("idna")


def is_local(cp_address: str, host_name: str) -> bool:
    """Whether the control plane runs on this host, so that its own certificate file is at hand."""
    host = (urlsplit(cp_address).hostname or "").rstrip(".").lower()
    return host in ("localhost", "::1", host_name.lower()) or host.startswith("127.")


def features(settings: DpSettings, *, names: bool, redirected: bool) -> tuple[str, ...]:
    """What the control plane may count on (contract 1.3). `names`: they are answered here; `redirected`: the
    request says how."""
    optional = (
        ("feature-embedded-dns", names),
        ("feature-transparent-proxy-in-dataplane-metadata", redirected),
        ("feature-bind-outbounds", settings.bind_outbounds and settings.proxy_type == "dataplane"),
        ("feature-readiness-unix-socket", not settings.readiness_unix_socket_disabled),
        ("feature-strict-inbound-ports", settings.strict_inbound_ports),
        ("feature-reuse-port", settings.reuse_port),
    )
    always = ("feature-tcp-accesslog-via-named-pipe", "feature-delta-grpc")
    return always + tuple(name for name, wanted in optional if wanted)


def make_plan(
    settings: DpSettings,
    resource: ProxyResource | None,
    facts: HostFacts,
    names: NameServing | None = None,
    transparent: Config | None = None,
) -> Plan:
    """Combine all of it."""
    paths = Paths(facts.work_dir)
    if resource and facts.admin_port:
        resource = resource.with_admin_port(facts.admin_port)
    if transparent:
        transparent = name_serving.with_dns(transparent, names, facts.dns_port or transparent.dns_port)
    return Plan(
        identity=identify(settings, resource),
        resource=resource,
        features=features(settings, names=names is not None, redirected=transparent is not None),
        paths=paths,
        facts=facts,
        bootstrap_url=bootstrap_url(settings.cp_address),
        envoy_argv=envoy_argv(settings, facts.envoy_binary, paths.bootstrap),
        dns_marker=settings.dns_envoy_port if names else 0,
        transparent_proxy=transparent.to_dataplane() if transparent else None,
        notes=_port_notes(settings, facts, names),
    )


def _port_notes(settings: DpSettings, facts: HostFacts, names: NameServing | None) -> tuple[str, ...]:
    notes = []
    if facts.admin_port not in (0, DEFAULT_ADMIN_PORT):
        notes.append(f"port {DEFAULT_ADMIN_PORT} is taken; Envoy's admin interface gets {facts.admin_port}")
    if facts.readiness_port != settings.readiness_port:
        notes.append(f"port {settings.readiness_port} is taken; GET /ready is on {facts.readiness_port}")
    if names and facts.dns_port != names.port:
        notes.append(f"port {names.port} is taken; names are answered on {facts.dns_port}")
    if facts.dns_metrics_port not in (0, settings.dns_prometheus_port):
        notes.append(
            f"port {settings.dns_prometheus_port} is taken; GET /metrics about DNS is on "
            f"{facts.dns_metrics_port}"
        )
    return tuple(notes)
