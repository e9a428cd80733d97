"""The agent's options, named as Kuma 2.13 names them (contract 1.7)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from kumamesh.settings import Seconds, option

PROXY_TYPES = ("dataplane", "ingress", "egress")
DNS_PORT = 15053
ENVOY_LOG_LEVELS = ("trace", "debug", "info", "warning", "warn", "error", "critical", "off")


@dataclass(frozen=True, slots=True)
class DpSettings:
    """Everything that `kuma-dp run` can be told."""

    log_level: str = option(
        "info",
        flag="log-level",
        choices=("off", "info", "debug"),
        help="How much the agent itself logs",
    )
    name: str = option("", env="KUMA_DATAPLANE_NAME", flag="name", help="Name of the proxy")
    mesh: str = option(
        "",
        env="KUMA_DATAPLANE_MESH",
        flag="mesh",
        help="Mesh of the proxy; `default` when neither this nor a resource names one",
    )
    proxy_type: str = option(
        "dataplane",
        env="KUMA_DATAPLANE_PROXY_TYPE",
        flag="proxy-type",
        choices=PROXY_TYPES,
        help="What the proxy is: a sidecar (or gateway), or the ingress or egress of a zone",
    )
    drain_time: Seconds = option(
        Seconds(30.0),
        env="KUMA_DATAPLANE_DRAIN_TIME",
        flag="drain-time",
        help="Longest wait for open connections when stopping",
    )
    cp_address: str = option(
        "https://localhost:5678",
        env="KUMA_CONTROL_PLANE_URL",
        flag="cp-address",
        help="URL of the control plane's data-plane server",
    )
    ca_cert_file: Path | None = option(
        None,
        env="KUMA_CONTROL_PLANE_CA_CERT_FILE",
        flag="ca-cert-file",
        help="PEM file of the authority that signed the control plane's certificate",
    )
    ca_cert: str = option(
        "", env="KUMA_CONTROL_PLANE_CA_CERT", help="The same as PEM text; wins over the file"
    )
    skip_verify: bool = option(
        False,
        env="KUMA_CONTROL_PLANE_TLS_SKIP_VERIFY",
        flag="skip-verify",
        help="Do not verify the control plane's certificate in the bootstrap call",
    )
    retry_backoff: Seconds = option(
        Seconds(3.0),
        env="KUMA_CONTROL_PLANE_RETRY_BACKOFF",
        help="Longest pause between two attempts to get the bootstrap",
    )
    retry_max_duration: Seconds = option(
        Seconds(300.0),
        env="KUMA_CONTROL_PLANE_RETRY_MAX_DURATION",
        help="How long to go on trying to get the bootstrap",
    )
    binary_path: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_BINARY_PATH",
        flag="binary-path",
        help="Envoy to run, a path or a name in PATH; empty: the one installed with this program",
    )
    concurrency: int = option(
        0,
        env="KUMA_DATAPLANE_RUNTIME_CONCURRENCY",
        flag="concurrency",
        help="Envoy's worker threads; 0: as many as the CPU set allows",
    )
    work_dir: Path | None = option(
        None,
        env="KUMA_DATAPLANE_RUNTIME_WORK_DIR",
        flag="work-dir",
        help="Directory of sockets and bootstrap; a temporary one when not given",
    )
    token: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_TOKEN",
        flag="dataplane-token",
        secret=True,
        help="The proxy's token; other users of this host can see it, so prefer --dataplane-token-file",
    )
    token_file: Path | None = option(
        None,
        env="KUMA_DATAPLANE_RUNTIME_TOKEN_PATH",
        flag="dataplane-token-file",
        help="File with the proxy's token, read anew for every connection",
    )
    resource: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_RESOURCE",
        flag="dataplane",
        help="The proxy's resource as YAML or JSON text, with {{ variables }}",
    )
    resource_file: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_RESOURCE_PATH",
        flag="dataplane-file",
        short="d",
        help="File with the proxy's resource, `-` for standard input; wins over --dataplane",
    )
    resource_vars: tuple[str, ...] = option(
        (),
        flag="dataplane-var",
        short="v",
        help="key=value for a {{ key }} in the resource; may be repeated",
    )
    envoy_log_level: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_ENVOY_LOG_LEVEL",
        flag="envoy-log-level",
        choices=ENVOY_LOG_LEVELS,
        help="How much Envoy logs; empty: as much as the agent",
    )
    envoy_component_log_level: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_ENVOY_COMPONENT_LOG_LEVEL",
        flag="envoy-component-log-level",
        help="Envoy's log levels by component, such as upstream:debug,connection:trace",
    )
    readiness_port: int = option(
        9902,
        env="KUMA_READINESS_PORT",
        help="Loopback port of GET /ready; not set and taken: another free one",
    )
    readiness_unix_socket_disabled: bool = option(
        False,
        env="KUMA_READINESS_UNIX_SOCKET_DISABLED",
        help="Answer GET /ready on the port only, not on a Unix socket too",
    )
    bind_outbounds: bool = option(
        False,
        env="KUMA_DATAPLANE_RUNTIME_BIND_OUTBOUNDS",
        flag="bind-outbounds",
        help="Listen on the virtual addresses of services themselves, which must be local ones "
        "(127.0.0.0/8); nothing is redirected, and no root is needed; for one proxy of a host or network "
        "namespace",
    )
    transparent_proxy: bool = option(
        False,
        flag="transparent-proxy",
        help="The host's traffic is redirected to this proxy, by `kumactl install transparent-proxy` as it "
        "is without options",
    )
    transparent_proxy_config: tuple[str, ...] = option(
        (),
        flag="transparent-proxy-config",
        help="File with the settings that the host's traffic is redirected by, `-` for standard input; "
        "several, or a list with commas, are laid over each other",
    )
    dns_enabled: bool = option(
        True,
        env="KUMA_DNS_ENABLED",
        flag="dns-enabled",
        help="Answer DNS queries: names of the mesh here, all others by the servers of /etc/resolv.conf",
    )
    dns_proxy_port: int = option(
        DNS_PORT,
        env="KUMA_DNS_PROXY_PORT",
        flag="dns-proxy-port",
        help="Port of the name server, UDP and TCP; not set and taken: another free one, unless DNS is "
        "redirected to it",
    )
    dns_address: tuple[str, ...] = option(
        (),
        env="KUMADP_DNS_ADDRESS",
        flag="dns-address",
        help="Addresses that the name server listens on; empty: 127.0.0.1 and ::1, and all where virtual "
        "networks are redirected; whoever reaches one can use this host's DNS servers",
    )
    dns_prometheus_port: int = option(
        19153,
        env="KUMA_DNS_PROMETHEUS_PORT",
        flag="dns-prometheus-port",
        help="Loopback port of GET /metrics, about DNS; not set and taken: another free one; 0: none",
    )
    dns_envoy_port: int = option(
        15054,
        env="KUMA_DNS_ENVOY_DNS_PORT",
        flag="dns-envoy-port",
        help="Tells control planes of Kuma that DNS is on; nothing listens there",
    )
    dns_coredns_port: int = option(
        DNS_PORT,
        env="KUMA_DNS_CORE_DNS_PORT",
        flag="dns-coredns-port",
        help="The same as --dns-proxy-port, which wins unless it is 0",
    )
    dns_coredns_path: str = option(
        "",
        env="KUMA_DNS_CORE_DNS_BINARY_PATH",
        flag="dns-coredns-path",
        help="Accepted, so that commands for Kuma work; there is no CoreDNS",
    )
    dns_coredns_template: str = option(
        "",
        env="KUMA_DNS_CORE_DNS_CONFIG_TEMPLATE_PATH",
        flag="dns-coredns-config-template-path",
        help="Accepted, so that commands for Kuma work; there is no CoreDNS",
    )
    dns_config_dir: str = option(
        "",
        env="KUMA_DNS_CONFIG_DIR",
        flag="dns-server-config-dir",
        help="Accepted, so that commands for Kuma work; the name server has no files",
    )
    dns_enable_logging: bool = option(
        False,
        env="KUMA_DNS_ENABLE_LOGGING",
        flag="dns-enable-logging",
        help="Accepted, so that commands for Kuma work; `kuma-dp dns lookup` tells of single names",
    )
    system_ca_path: str = option(
        "",
        env="KUMA_DATAPLANE_RUNTIME_DYNAMIC_SYSTEM_CA_PATH",
        help="The host's CA bundle; empty: the first of the usual places",
    )
    max_memory_bytes: int = option(
        0,
        env="KUMA_DATAPLANE_RESOURCES_MAX_MEMORY_BYTES",
        help="Memory limit told to the control plane; 0: the limit of the control group",
    )
    reuse_port: bool = option(
        True,
        env="KUMA_DATAPLANE_RUNTIME_REUSE_PORT_ENABLED",
        help="Let listeners spread connections over Envoy's workers by SO_REUSEPORT",
    )
    strict_inbound_ports: bool = option(
        True,
        env="KUMA_DATAPLANE_RUNTIME_STRICT_INBOUND_PORTS_ENABLED",
        help="With STRICT mTLS, drop connections to ports that are not declared",
    )
    ipv6_enabled: bool = option(
        True,
        env="KUMA_DATAPLANE_RUNTIME_IPV6_ENABLED",
        help="Use IPv6 where the host has it",
    )
