"""The settings of transparent proxying, declared once, with Kuma's keys, variables and flags."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kumamesh.settings import Seconds, option

DUALSTACK, IPV4 = "dualstack", "ipv4"
_ENV = "KUMA_TRANSPARENT_PROXY_"
_INBOUND, _OUTBOUND, _DNS = (f"{_ENV}REDIRECT_{part}_" for part in ("INBOUND", "OUTBOUND", "DNS"))


@dataclass(frozen=True, slots=True)
class Config:
    """What is redirected, and what is not."""

    user: str = option(
        "",
        key="kumaDPUser",
        env=f"{_ENV}KUMA_DP_USER",
        flag="kuma-dp-user",
        help="Name or uid of the user that kuma-dp runs as; its traffic is not redirected (default: the user "
        "with the uid 5678, else the one named kuma-dp)",
    )
    ip_family_mode: str = option(
        DUALSTACK,
        key="ipFamilyMode",
        env=f"{_ENV}IP_FAMILY_MODE",
        flag="ip-family-mode",
        choices=(DUALSTACK, IPV4),
        help="Addresses whose traffic is redirected",
    )
    inbound_enabled: bool = option(
        True,
        key="redirect.inbound.enabled",
        env=f"{_INBOUND}ENABLED",
        flag="redirect-inbound",
        help="Redirect connections from elsewhere; false for gateways",
    )
    inbound_port: int = option(
        15006,
        key="redirect.inbound.port",
        env=f"{_INBOUND}PORT",
        flag="redirect-inbound-port",
        help="Port of the sidecar for connections from elsewhere",
    )
    inbound_include_ports: tuple[int, ...] = option(
        (),
        key="redirect.inbound.includePorts",
        env=f"{_INBOUND}INCLUDE_PORTS",
        help="Redirect connections to these ports only; the excluded ports then do not count",
    )
    inbound_exclude_ports: tuple[int, ...] = option(
        (),
        key="redirect.inbound.excludePorts",
        env=f"{_INBOUND}EXCLUDE_PORTS",
        flag="exclude-inbound-ports",
        help="Ports to which connections from elsewhere are not redirected, such as 22",
    )
    inbound_exclude_ips: tuple[str, ...] = option(
        (),
        key="redirect.inbound.excludePortsForIPs",
        env=f"{_INBOUND}EXCLUDE_PORTS_FOR_IPS",
        flag="exclude-inbound-ips",
        help="Addresses and CIDRs from which connections are not redirected",
    )
    inbound_exclude_uids: tuple[str, ...] = option(
        (),
        key="redirect.inbound.excludePortsForUIDs",
        env=f"{_INBOUND}EXCLUDE_PORTS_FOR_UIDS",
        separator=";",
        help="Not possible: what comes from elsewhere has no uid",
    )
    inbound_insert: bool = option(
        False,
        key="redirect.inbound.insertRedirectInsteadOfAppend",
        env=f"{_INBOUND}INSERT_REDIRECT_INSTEAD_OF_APPEND",
        flag="redirect-inbound-insert-instead-of-append",
        help="Put the rule for connections from elsewhere before the host's own rules, not behind them",
    )
    outbound_enabled: bool = option(
        True,
        key="redirect.outbound.enabled",
        env=f"{_OUTBOUND}ENABLED",
        help="Redirect the connections of this host's programs",
    )
    outbound_port: int = option(
        15001,
        key="redirect.outbound.port",
        env=f"{_OUTBOUND}PORT",
        flag="redirect-outbound-port",
        help="Port of the sidecar for the connections of this host's programs",
    )
    outbound_include_ports: tuple[int, ...] = option(
        (),
        key="redirect.outbound.includePorts",
        env=f"{_OUTBOUND}INCLUDE_PORTS",
        help="Redirect connections to these ports only; the excluded ports then do not count",
    )
    outbound_exclude_ports: tuple[int, ...] = option(
        (),
        key="redirect.outbound.excludePorts",
        env=f"{_OUTBOUND}EXCLUDE_PORTS",
        flag="exclude-outbound-ports",
        help="Ports to which this host's connections are not redirected",
    )
    outbound_exclude_ips: tuple[str, ...] = option(
        (),
        key="redirect.outbound.excludePortsForIPs",
        env=f"{_OUTBOUND}EXCLUDE_PORTS_FOR_IPS",
        flag="exclude-outbound-ips",
        help="Addresses and CIDRs to which nothing is redirected, DNS neither",
    )
    outbound_exclude_uids: tuple[str, ...] = option(
        (),
        key="redirect.outbound.excludePortsForUIDs",
        env=f"{_OUTBOUND}EXCLUDE_PORTS_FOR_UIDS",
        flag="exclude-outbound-ports-for-uids",
        separator=";",
        help="Users whose traffic is not redirected, as [[protocol:]ports:]uids, such as "
        "tcp:22,3000-5000:106-108; several with ; between them",
    )
    outbound_insert: bool = option(
        False,
        key="redirect.outbound.insertRedirectInsteadOfAppend",
        env=f"{_OUTBOUND}INSERT_REDIRECT_INSTEAD_OF_APPEND",
        flag="redirect-outbound-insert-instead-of-append",
        help="Put the rule for this host's connections before the host's own rules, not behind them",
    )
    dns_enabled: bool = option(
        False,
        key="redirect.dns.enabled",
        env=f"{_DNS}ENABLED",
        flag="redirect-dns",
        help="Redirect DNS over UDP and TCP to kuma-dp, when it is for a server that resolv.conf lists",
    )
    dns_port: int = option(
        15053,
        key="redirect.dns.port",
        env=f"{_DNS}PORT",
        flag="redirect-dns-port",
        help="Port of kuma-dp's name server",
    )
    dns_capture_all: bool = option(
        False,
        key="redirect.dns.captureAll",
        env=f"{_DNS}CAPTURE_ALL",
        flag="redirect-all-dns-traffic",
        help="Redirect DNS to kuma-dp whatever server it is for; --redirect-dns need not be given too",
    )
    dns_skip_zones: bool = option(
        False,
        key="redirect.dns.skipConntrackZoneSplit",
        env=f"{_DNS}SKIP_CONNTRACK_ZONE_SPLIT",
        flag="skip-dns-conntrack-zone-split",
        help="Do not keep the DNS of programs and that of kuma-dp in separate conntrack zones",
    )
    resolv_conf: str = option(
        "/etc/resolv.conf",
        key="redirect.dns.resolvConfigPath",
        env=f"{_DNS}RESOLV_CONFIG_PATH",
        help="File with the servers of --redirect-dns",
    )
    vnet_networks: tuple[str, ...] = option(
        (),
        key="redirect.vnet.networks",
        env=f"{_ENV}REDIRECT_VNET_NETWORKS",
        flag="vnet",
        help="Virtual networks behind this host, as interface:CIDR, such as docker0:172.17.0.0/16 or "
        "br+:172.18.0.0/16; what comes from there is redirected like this host's own connections",
    )
    drop_invalid_packets: bool = option(
        False,
        key="dropInvalidPackets",
        env=f"{_ENV}DROP_INVALID_PACKETS",
        flag="drop-invalid-packets",
        help="Drop packets that belong to no connection, which would pass by the sidecar",
    )
    comments_disabled: bool = option(
        False,
        key="comments.disabled",
        env=f"{_ENV}COMMENTS_DISABLED",
        flag="disable-comments",
        help="Give the rules no comments, for kernels that cannot keep them",
    )
    log_enabled: bool = option(
        False,
        key="log.enabled",
        env=f"{_ENV}LOG_ENABLED",
        flag="iptables-logs",
        help="Log new connections to the kernel's log before they are redirected",
    )
    log_level: int = option(
        7, key="log.level", env=f"{_ENV}LOG_LEVEL", help="Level of --iptables-logs, from 0 to 7"
    )
    wait: int = option(
        5,
        key="wait",
        env=f"{_ENV}WAIT",
        flag="wait",
        help="Seconds to wait for the lock of the tables; 0 is without limit",
    )
    wait_interval: int = option(
        0,
        key="waitInterval",
        env=f"{_ENV}WAIT_INTERVAL",
        flag="wait-interval",
        help="Accepted for compatibility: iptables chooses how often it looks at the lock",
    )
    max_retries: int = option(
        4,
        key="retry.maxRetries",
        env=f"{_ENV}RETRY_MAX_RETRIES",
        flag="max-retries",
        help="Further attempts when the tables were changed by somebody else at the same time",
    )
    sleep_between_retries: Seconds = option(
        Seconds(2.0),
        key="retry.sleepBetweenRetries",
        env=f"{_ENV}RETRY_SLEEP_BETWEEN_RETRIES",
        flag="sleep-between-retries",
        help="Pause before a further attempt",
    )
    executables: tuple[str, ...] = option(
        (),
        env=f"{_ENV}IPTABLES_EXECUTABLES",
        flag="iptables-executables",
        help="Programs to use, as name:path; of iptables or of ip6tables either all three names "
        "(with -save and -restore) or none",
    )
    iptables: str = option("", key="iptablesExecutables.iptables", help="Path of iptables")
    iptables_save: str = option("", key="iptablesExecutables.iptables-save", help="Path of iptables-save")
    iptables_restore: str = option(
        "", key="iptablesExecutables.iptables-restore", help="Path of iptables-restore"
    )
    ip6tables: str = option("", key="iptablesExecutables.ip6tables", help="Path of ip6tables")
    ip6tables_save: str = option("", key="iptablesExecutables.ip6tables-save", help="Path of ip6tables-save")
    ip6tables_restore: str = option(
        "", key="iptablesExecutables.ip6tables-restore", help="Path of ip6tables-restore"
    )
    store_firewalld: bool = option(
        False,
        key="storeFirewalld",
        env=f"{_ENV}STORE_FIREWALLD",
        flag="store-firewalld",
        help="Not possible: run this command again when firewalld was reloaded",
    )
    cni_mode: bool = option(
        False,
        key="cniMode",
        env=f"{_ENV}CNI_MODE",
        help="Take kumaDPUser for a uid that need not exist on this host",
    )
    dry_run: bool = option(
        False,
        key="dryRun",
        env=f"{_ENV}DRY_RUN",
        flag="dry-run",
        help="Print what would be applied, and change nothing; needs no root",
    )
    verbose: bool = option(
        False, key="verbose", env=f"{_ENV}VERBOSE", flag="verbose", help="Print on stderr what is applied"
    )
    ebpf_enabled: bool = option(
        False,
        key="ebpf.enabled",
        env=f"{_ENV}EBPF_ENABLED",
        flag="ebpf-enabled",
        help="Not possible: traffic is redirected with iptables or nft",
    )
    ebpf_instance_ip: str = option(
        "",
        key="ebpf.instanceIP",
        env=f"{_ENV}EBPF_INSTANCE_IP",
        flag="ebpf-instance-ip",
        help="Accepted for compatibility, like all that is for eBPF",
    )
    ebpf_instance_ip_variable: str = option(
        "",
        key="ebpf.instanceIPEnvVarName",
        env=f"{_ENV}EBPF_INSTANCE_IP_ENV_VAR_NAME",
        help="Accepted for compatibility",
    )
    ebpf_bpffs_path: str = option(
        "/run/kuma/bpf",
        key="ebpf.bpffsPath",
        env=f"{_ENV}EBPF_BPFFS_PATH",
        flag="ebpf-bpffs-path",
        help="Accepted for compatibility",
    )
    ebpf_cgroup_path: str = option(
        "/sys/fs/cgroup",
        key="ebpf.cgroupPath",
        env=f"{_ENV}EBPF_CGROUP_PATH",
        flag="ebpf-cgroup-path",
        help="Accepted for compatibility",
    )
    ebpf_programs_source_path: str = option(
        "/tmp/kuma-ebpf",  # noqa: S108 -- Kuma's default; nothing is read there
        key="ebpf.programsSourcePath",
        env=f"{_ENV}EBPF_PROGRAMS_SOURCE_PATH",
        flag="ebpf-programs-source-path",
        help="Accepted for compatibility",
    )
    ebpf_tc_attach_iface: str = option(
        "",
        key="ebpf.tcAttachIface",
        env=f"{_ENV}EBPF_TC_ATTACH_IFACE",
        flag="ebpf-tc-attach-iface",
        help="Accepted for compatibility",
    )

    @property
    def ipv6(self) -> bool:
        return self.ip_family_mode == DUALSTACK

    @property
    def redirects_dns(self) -> bool:
        return self.dns_enabled or self.dns_capture_all

    def to_dataplane(self) -> dict[str, Any]:
        """The bootstrap request's `dataplaneConfig` (contract 1.2)."""
        redirect: dict[str, Any] = {
            "inbound": {"enabled": self.inbound_enabled, "port": self.inbound_port},
            "outbound": {"enabled": self.outbound_enabled, "port": self.outbound_port},
            "dns": {"enabled": self.redirects_dns, "port": self.dns_port},
        }
        if self.vnet_networks:
            redirect["vnet"] = {"networks": list(self.vnet_networks)}
        return {"ipFamilyMode": self.ip_family_mode, "redirect": redirect}


DEFAULT = Config()
