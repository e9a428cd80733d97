"""Everything before the control plane is asked: files read, ports and work dir taken, the plan made."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass

from kumadp import host_disk
from kumadp.envoy.version import version_warning
from kumadp.envoy.version_process import VersionProbe
from kumadp.plan import DEFAULT_ADMIN_PORT, HostFacts, Plan, identify, make_plan
from kumadp.ports_server import PortClaims, is_free, readiness_listener
from kumadp.proxy_resource import ProxyResource, parse_resource
from kumadp.settings import DpSettings
from kumadp.thread_worker import in_thread
from kumadp.token_disk import TokenSource
from kumadp.work_dir_disk import work_dir
from kumamesh.errors import UserError
from kumamesh.settings import Origin, Resolved
from kumamesh.template import parse_variables, render

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Prepared:
    """The plan, and what is held for it."""

    settings: DpSettings
    plan: Plan
    token: TokenSource
    ca_source: str
    claims: PortClaims
    readiness_listener: socket.socket


@contextlib.asynccontextmanager
async def prepared(
    resolved: Resolved[DpSettings], probe: VersionProbe, resource_text: str, source: str
) -> AsyncIterator[Prepared]:
    """All of it is given back when the block ends. Raises UserError."""
    settings = resolved.settings
    token = TokenSource.from_settings(settings)
    resource = _resource(settings, resource_text, source)
    identify(settings, resource)
    ca_pem, ca_source = host_disk.trusted_ca(settings)
    with contextlib.ExitStack() as held:
        folder = held.enter_context(work_dir(settings.work_dir))
        claims = held.enter_context(PortClaims())
        chosen = resolved.origins["readiness_port"] is not Origin.DEFAULT
        listener = held.enter_context(readiness_listener(settings.readiness_port, chosen))
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
        )
        plan = make_plan(settings, resource, facts)
        _say(plan, settings)
        yield Prepared(settings, plan, token, ca_source, claims, listener)


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
