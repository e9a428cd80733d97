"""The settings of names and virtual addresses, checked before anything starts."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network, ip_network

from kumacp.settings.dns import DnsSettings
from kumacp.vips.entry import MAX_PORT
from kumacp.vips.names import VipSettings
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.resources.rules.common import is_identifier, is_ip

_FEWEST = 16
"""Addresses of a range that is no slip of the pen."""


def vip_settings(settings: DnsSettings) -> VipSettings:
    """Raises UserError that names the variable and the remedy."""
    domain, port = settings.dns_domain, settings.dns_service_vip_port
    if not is_identifier(domain) or is_ip(domain) or len(domain) > 189:
        raise _wrong("DOMAIN", domain, "is no domain; use lower-case labels with dots between, such as mesh")
    if not 0 <= port <= MAX_PORT:
        raise _wrong(
            "SERVICE_VIP_PORT", port, f"is no port; use 1 to {MAX_PORT}, or 0 for declared ports only"
        )
    for variable, seconds in (
        ("KUMA_RUNTIME_UNIVERSAL_VIP_REFRESH_INTERVAL", settings.vip_refresh_interval),
        ("KUMA_DNS_SERVER_DELETION_GRACE_PERIOD", settings.dns_deletion_grace_period),
    ):
        if seconds < 0:
            raise UserError(f"{variable} must not be negative", exit_code=EXIT_USAGE)
    network = _ipv4(settings.dns_cidr)
    ipv6 = str(_ipv6(settings.dns_ipv6_cidr, network)) if settings.dns_ipv6_cidr else ""
    return VipSettings(domain, str(network), ipv6, port)


def _ipv4(text: str) -> IPv4Network:
    network = _network("CIDR", text, "240.0.0.0/4")
    if not isinstance(network, IPv4Network):
        raise _wrong("CIDR", text, "must be a range of IPv4; the one of IPv6 is KUMA_DNS_SERVER_IPV6_CIDR")
    if network.num_addresses < _FEWEST:
        raise _wrong("CIDR", text, f"has room for {network.num_addresses} names; use /28 or a wider range")
    return network


def _ipv6(text: str, ipv4: IPv4Network) -> IPv6Network:
    network = _network("IPV6_CIDR", text, "fd00:fd00::/64")
    longest = 128 - (32 - ipv4.prefixlen)
    if not isinstance(network, IPv6Network):
        raise _wrong("IPV6_CIDR", text, "must be a range of IPv6; the one of IPv4 is KUMA_DNS_SERVER_CIDR")
    if network.prefixlen > longest:
        raise _wrong("IPV6_CIDR", text, f"is smaller than {ipv4}; use /{longest} or a wider range")
    return network


def _network(variable: str, text: str, example: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise _wrong(variable, text, f"is no range of addresses; use one such as {example}") from None


def _wrong(variable: str, value: object, problem: str) -> UserError:
    return UserError(f"KUMA_DNS_SERVER_{variable}={value} {problem}", exit_code=EXIT_USAGE)
