"""Everything before the control plane is asked: files read, ports and work dir taken, the plan made."""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from kumadp import host_disk, name_serving
from kumadp.background_worker import beside
from kumadp.envoy.version import version_warning
from kumadp.envoy.version_process import VersionProbe
from kumadp.name_serving import NameServing
from kumadp.plan import DEFAULT_ADMIN_PORT, HostFacts, Plan, identify, make_plan
from kumadp.ports_server import PortClaims, is_free, loopback_listener
from kumadp.proxy_resource import ProxyResource, parse_resource
from kumadp.settings import DpSettings
from kumadp.thread_worker import in_thread
from kumadp.token_disk import TokenSource
from kumadp.work_dir_disk import work_dir
from kumamesh.errors import UserError
from kumamesh.settings import Origin, Resolved
from kumamesh.template import parse_variables, render

if TYPE_CHECKING:
    from kumadp_dns.name_server_process import NameServer
    from kumamesh.transparent_proxy.config import Config

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What was read for this run. `resource_text` may be ""; `source` says where it is from."""

    resource_text: str
    source: str
    transparent: Config | None = None


@dataclass(frozen=True, slots=True)
class NameAnswers:
    """A name server that answers already, what it does not know yet by others."""

    server: NameServer
    serving: NameServing
    port: int
    metrics_listener: socket.socket | None
    started: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """The plan, and what is held for it."""

    settings: DpSettings
    plan: Plan
    token: TokenSource
    ca_source: str
    claims: PortClaims
    readiness_listener: socket.socket
    names: NameAnswers | None


@contextlib.asynccontextmanager
async def prepared(
    resolved: Resolved[DpSettings], probe: VersionProbe, inputs: Inputs
) -> AsyncIterator[Prepared]:
    """All of it is given back when the block ends, the name server first of it. Raises UserError."""
    settings = resolved.settings
    token = TokenSource.from_settings(settings)
    resource = _resource(settings, inputs.resource_text, inputs.source)
    identify(settings, resource)
    ca_pem, ca_source = host_disk.trusted_ca(settings)
    async with contextlib.AsyncExitStack() as held:
        folder = held.enter_context(work_dir(settings.work_dir))
        claims = held.enter_context(PortClaims())
        if not settings.bind_outbounds and settings.proxy_type == "dataplane":
            _hold_redirect_ports(claims, name_serving.redirect_ports(resource, inputs.transparent))
        listener = held.enter_context(_listener(resolved, "readiness_port", "KUMA_READINESS_PORT"))
        serving = name_serving.name_serving(
            resolved, resource, inputs.transparent, ipv6=host_disk.has_ipv6_loopback()
        )
        names = await held.enter_async_context(_answering(resolved, serving)) if serving else None
        metrics = names.metrics_listener if names else None
        facts = HostFacts(
            work_dir=folder,
            admin_port=_admin_port(resource, claims),
            readiness_port=listener.getsockname()[1],
            envoy_binary=probe.binary,
            envoy_version=await in_thread(probe.result),
            ca_pem=ca_pem,
            system_ca_path=host_disk.system_ca_path(settings.system_ca_path),
            ipv6=settings.ipv6_enabled and host_disk.has_ipv6(),
            memory_limit_bytes=host_disk.memory_limit_bytes(settings.max_memory_bytes),
            token_path=token.path,
            dns_port=names.port if names else 0,
            dns_metrics_port=metrics.getsockname()[1] if metrics else 0,
        )
        plan = make_plan(settings, resource, facts, serving, inputs.transparent)
        _say(plan, settings)
        yield Prepared(settings, plan, token, ca_source, claims, listener, names)


@contextlib.asynccontextmanager
async def _answering(resolved: Resolved[DpSettings], serving: NameServing) -> AsyncIterator[NameAnswers]:
    """From here on, so that its process is up before gRPC is imported (DESIGN.md 3.7)."""
    from kumadp_dns.name_server_process import NameServer, bind

    with contextlib.ExitStack() as held:
        metrics = None
        if resolved.settings.dns_prometheus_port:
            option = "--dns-prometheus-port (KUMA_DNS_PROMETHEUS_PORT)"
            metrics = held.enter_context(_listener(resolved, "dns_prometheus_port", option))
        sockets = bind(
            serving.addresses, serving.port, exact=serving.exact, remedy=name_serving.remedy(serving)
        )
        server = NameServer(sockets)
        try:
            server.start()
            async with beside(server.supervise(), "the care for the name server"):
                yield NameAnswers(server, serving, sockets.port, metrics, time.monotonic())
        finally:
            await server.close()


def _listener(
    resolved: Resolved[DpSettings], name: str, option: str
) -> contextlib.AbstractContextManager[socket.socket]:
    chosen = resolved.origins[name] is not Origin.DEFAULT
    return loopback_listener(getattr(resolved.settings, name), option, chosen_by_user=chosen)


def _resource(settings: DpSettings, text: str, source: str) -> ProxyResource | None:
    variables = parse_variables(settings.resource_vars)
    if not text.strip():
        if settings.resource_file:
            raise UserError(f"{source} is empty; it must hold the proxy's resource")
        return None
    rendered = render(text, variables, source)
    for name in rendered.unused:
        log.warning("%s does not use the variable %s", source, name)
    return parse_resource(rendered.text, settings.proxy_type, source)


def _hold_redirect_ports(claims: PortClaims, ports: tuple[int, ...]) -> None:
    """Envoy would share them with that of another proxy: each would get connections that are the other's."""
    for port in ports:
        claims.hold(
            port,
            f"port {port}, to which the host's connections are redirected, is in use; a host has one such "
            "proxy: stop the other program, or give each proxy a network namespace (a container) of its own",
        )


def _admin_port(resource: ProxyResource | None, claims: PortClaims) -> int:
    """A port to put into the resource, 0 when there is no place for one or the user chose it."""
    if resource is None:
        return 0
    if not resource.admin_port:
        return claims.claim(DEFAULT_ADMIN_PORT)
    if not is_free(resource.admin_port):
        raise UserError(
            f"the resource's networking.admin.port {resource.admin_port} is in use; choose another, "
            "or leave it out to get a free one"
        )
    return 0


def _say(plan: Plan, settings: DpSettings) -> None:
    warning = version_warning(plan.facts.envoy_version)
    if warning:
        log.warning("%s", warning)
    if settings.skip_verify:
        log.warning(
            "--skip-verify: whoever answers at %s gets the token and configures this proxy; "
            "give its CA with --ca-cert-file instead",
            plan.bootstrap_url,
        )
    for note in plan.notes:
        log.info("%s", note)
    who = f"{plan.identity.mesh}.{plan.identity.name}".lstrip(".")
    log.info("%s %s, work dir %s", plan.identity.proxy_type, who, plan.paths.work_dir)
