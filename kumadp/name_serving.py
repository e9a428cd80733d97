"""Whether and where this run answers names, and what it tells of options that change nothing here. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING

from kumadp.proxy_resource import ProxyResource
from kumadp.settings import DpSettings
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.settings import Origin, Resolved

if TYPE_CHECKING:
    from kumamesh.transparent_proxy.config import Config

STDIN = "-"
_PROXY_PORT = "--dns-proxy-port (KUMA_DNS_PROXY_PORT)"
_METRICS_PORT = "--dns-prometheus-port (KUMA_DNS_PROMETHEUS_PORT)"
_WILDCARDS = ("0.0.0.0", "::")
_WITHOUT_EFFECT = (
    ("dns_coredns_path", "--dns-coredns-path (KUMA_DNS_CORE_DNS_BINARY_PATH)", "there is no CoreDNS"),
    (
        "dns_coredns_template",
        "--dns-coredns-config-template-path (KUMA_DNS_CORE_DNS_CONFIG_TEMPLATE_PATH)",
        "there is no CoreDNS; the servers of /etc/resolv.conf answer what is not of the mesh",
    ),
    ("dns_config_dir", "--dns-server-config-dir (KUMA_DNS_CONFIG_DIR)", "the name server has no files"),
    (
        "dns_enable_logging",
        "--dns-enable-logging (KUMA_DNS_ENABLE_LOGGING)",
        "queries are counted, not logged; `kuma-dp dns lookup` tells of single names",
    ),
)


@dataclass(frozen=True, slots=True)
class NameServing:
    """Where names are answered. `port` may be replaced unless `exact`; `redirected`: rules outside of this
    program send DNS there. `awaited`: the proxy is not ready before it has its names."""

    addresses: tuple[str, ...]
    port: int
    exact: bool
    redirected: bool
    awaited: bool


def name_serving(
    resolved: Resolved[DpSettings],
    resource: ProxyResource | None,
    transparent: Config | None,
    *,
    ipv6: bool,
) -> NameServing | None:
    """None when DNS is off; `ipv6`: the host has ::1."""
    settings = resolved.settings
    if not settings.dns_enabled or settings.proxy_type != "dataplane":
        return None
    port, chosen = _port(resolved, transparent)
    declared = resource is not None and resource.redirected and not settings.bind_outbounds
    redirected = transparent is not None or declared
    return NameServing(
        addresses=_without_overlap(settings.dns_address)
        or _addresses(transparent, ipv6=ipv6 and settings.ipv6_enabled),
        port=port,
        exact=chosen or redirected,
        redirected=redirected,
        awaited=settings.bind_outbounds or _names_used(resource, transparent),
    )


def remedy(serving: NameServing) -> str:
    """What to do when the port is taken and must not be replaced."""
    if serving.redirected:
        return (
            "stop what has it, or choose another port both for the redirection of DNS "
            "(--redirect-dns-port of kumactl install transparent-proxy) and for --dns-proxy-port"
        )
    return (
        "stop what has it, choose another --dns-proxy-port (KUMA_DNS_PROXY_PORT), or none to get a free one"
    )


def transparent_proxy(settings: DpSettings, documents: Sequence[tuple[str, str]]) -> Config | None:
    """The settings that traffic is redirected by; None when no flag says that it is. Raises UserError."""
    if settings.proxy_type != "dataplane" or not (settings.transparent_proxy or documents):
        return None
    # Not imported where nothing is redirected: it takes as long as the rest of the plan.
    from kumamesh.transparent_proxy.config import DEFAULT, load

    return load(documents) if documents else DEFAULT


def redirect_ports(resource: ProxyResource | None, transparent: Config | None) -> tuple[int, ...]:
    """Where the host's connections are redirected to."""
    if transparent is None:
        return resource.redirect_ports if resource else ()
    outbound = (transparent.outbound_port,) if transparent.outbound_enabled else ()
    return outbound + ((transparent.inbound_port,) if transparent.inbound_enabled else ())


def with_dns(config: Config, serving: NameServing | None, port: int) -> Config:
    """As the control plane is told: about DNS, what this program does counts."""
    return replace(config, dns_enabled=serving is not None, dns_capture_all=False, dns_port=port)


def check(resolved: Resolved[DpSettings]) -> None:
    """Values that no single option can judge."""
    settings = resolved.settings
    _check_redirection(resolved)
    if not settings.dns_enabled:
        return
    for name, port, lowest in (
        (_PROXY_PORT, settings.dns_proxy_port, 0),
        ("--dns-coredns-port (KUMA_DNS_CORE_DNS_PORT)", settings.dns_coredns_port, 1),
        ("--dns-envoy-port (KUMA_DNS_ENVOY_DNS_PORT)", settings.dns_envoy_port, 1),
        (_METRICS_PORT, settings.dns_prometheus_port, 0),
    ):
        if not lowest <= port <= 65_535:
            raise _usage(f"{name} must be between {lowest} and 65535, not {port}")
    _check_chosen_ports(resolved)
    for address in settings.dns_address:
        reason = _unusable(address)
        if reason:
            raise _usage(f"--dns-address (KUMADP_DNS_ADDRESS): {address!r} {reason}")


def _check_redirection(resolved: Resolved[DpSettings]) -> None:
    settings = resolved.settings
    if resolved.origins["transparent_proxy_config"] is Origin.FLAG and not settings.transparent_proxy_config:
        raise _usage(
            "--transparent-proxy-config names no file; leave it out when nothing is redirected, or give "
            "--transparent-proxy when it is as by default"
        )
    transparent = settings.transparent_proxy or settings.transparent_proxy_config
    if settings.bind_outbounds and transparent:
        raise _usage(
            "--bind-outbounds cannot be given together with --transparent-proxy[-config]: without "
            "redirection the proxy listens on the virtual addresses itself; choose one"
        )
    if (settings.resource_file, *settings.transparent_proxy_config).count(STDIN) > 1:
        raise _usage(
            "standard input can be read only once: give `-` to one of --dataplane-file and "
            "--transparent-proxy-config"
        )


def _check_chosen_ports(resolved: Resolved[DpSettings]) -> None:
    """Those that the user did not choose move out of the way."""
    settings, origins = resolved.settings, resolved.origins
    names: dict[int, str] = {}
    for name, (port, chosen) in (
        (_PROXY_PORT, _port(resolved, None)),
        (_METRICS_PORT, (settings.dns_prometheus_port, origins["dns_prometheus_port"] is not Origin.DEFAULT)),
        ("KUMA_READINESS_PORT", (settings.readiness_port, origins["readiness_port"] is not Origin.DEFAULT)),
    ):
        if chosen and port and names.setdefault(port, name) != name:
            raise _usage(f"{names[port]} and {name} are both {port}; each needs a port of its own")


def warnings(resolved: Resolved[DpSettings]) -> tuple[str, ...]:
    """One line for each option that was given and changes nothing here."""
    settings, origins = resolved.settings, resolved.origins
    found = [
        f"{name} changes nothing: {why}"
        for option, name, why in _WITHOUT_EFFECT
        if origins[option] is not Origin.DEFAULT and getattr(settings, option)
    ]
    if settings.dns_proxy_port == 0:
        found.append(
            "--dns-proxy-port=0 (KUMA_DNS_PROXY_PORT) asks for CoreDNS, which is not there: names are "
            f"answered all the same, on port {settings.dns_coredns_port}"
        )
    if settings.proxy_type != "dataplane":
        given = {
            "--transparent-proxy": settings.transparent_proxy,
            "--transparent-proxy-config": settings.transparent_proxy_config,
            "--bind-outbounds": settings.bind_outbounds,
        }
        found += [
            f"{name} changes nothing: the proxies of a zone have no outbounds"
            for name, value in given.items()
            if value
        ]
    return tuple(found)


def _port(resolved: Resolved[DpSettings], transparent: Config | None) -> tuple[int, bool]:
    """(port, whether the user chose it); a transparent proxy's settings say where DNS is redirected to."""
    settings, origins = resolved.settings, resolved.origins
    for option in ("dns_proxy_port", "dns_coredns_port"):
        if origins[option] is not Origin.DEFAULT and getattr(settings, option):
            return getattr(settings, option), True
    if transparent is not None:
        return transparent.dns_port, True
    return settings.dns_proxy_port or settings.dns_coredns_port, False


def _addresses(transparent: Config | None, *, ipv6: bool) -> tuple[str, ...]:
    v4, v6 = _WILDCARDS if transparent and transparent.vnet_networks else ("127.0.0.1", "::1")
    return (v4, v6) if ipv6 and (transparent is None or transparent.ipv6) else (v4,)


def _names_used(resource: ProxyResource | None, transparent: Config | None) -> bool:
    if transparent is not None:
        return transparent.inbound_enabled or transparent.outbound_enabled
    return resource is not None and resource.redirected


def _without_overlap(texts: Sequence[str]) -> tuple[str, ...]:
    """Each address once; those that a wildcard stands for are listened on by it."""
    given = dict.fromkeys(str(ip_address(text)) for text in texts)
    return tuple(text for text in given if text in _WILDCARDS or _WILDCARDS[":" in text] not in given)


def _unusable(text: str) -> str:
    """Why a server cannot listen there."""
    try:
        address = ip_address(text)
    except ValueError:
        return "is not an IP address"
    if "%" in text:
        return "has a scope; give an address that means the same on all interfaces"
    if address.is_multicast or text == "255.255.255.255":
        return "stands for many hosts; give one of this host"
    return ""


def _usage(message: str) -> UserError:
    return UserError(message, exit_code=EXIT_USAGE)
