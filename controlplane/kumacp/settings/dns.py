"""What the control plane is told of names and virtual addresses (kuma-cp 1.8)."""

from __future__ import annotations

from dataclasses import dataclass

from kumamesh.settings import Seconds, option


@dataclass(frozen=True)
class DnsSettings:
    """`dnsServer` of the file. `kumacp.vips.settings.vip_settings` checks the values."""

    dns_domain: str = option(
        "mesh",
        env="KUMA_DNS_SERVER_DOMAIN",
        key="dnsServer.domain",
        help="Domain of the names of services",
    )
    dns_cidr: str = option(
        "240.0.0.0/4",
        env="KUMA_DNS_SERVER_CIDR",
        key="dnsServer.CIDR",
        help="Range of virtual addresses",
    )
    dns_ipv6_cidr: str = option(
        "",
        env="KUMA_DNS_SERVER_IPV6_CIDR",
        key="dnsServer.ipv6CIDR",
        help="Range of virtual IPv6 addresses; empty: IPv4 addresses in the form ::ffff:f000:1",
    )
    dns_service_vip_enabled: bool = option(
        True,
        env="KUMA_DNS_SERVER_SERVICE_VIP_ENABLED",
        key="dnsServer.serviceVipEnabled",
        help="Give every kuma.io/service a virtual address and the name <service>.<domain>",
    )
    dns_service_vip_port: int = option(
        80,
        env="KUMA_DNS_SERVER_SERVICE_VIP_PORT",
        key="dnsServer.serviceVipPort",
        help="Port of every virtual address of a service; 0: only declared ports",
    )
    vip_refresh_interval: Seconds = option(
        Seconds(0.5),
        env="KUMA_RUNTIME_UNIVERSAL_VIP_REFRESH_INTERVAL",
        key="runtime.universal.vipRefreshInterval",
        help="Longest rest between two writes of virtual addresses while many names change",
    )
    dns_deletion_grace_period: Seconds = option(
        Seconds(60.0),
        env="KUMA_DNS_SERVER_DELETION_GRACE_PERIOD",
        key="dnsServer.deletionGracePeriod",
        help="How long a service keeps its names when its last instance is gone; 0: not at all",
    )
