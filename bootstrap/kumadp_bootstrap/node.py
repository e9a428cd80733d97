"""Who the proxy is, for the control plane (contract 2.1)."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap.params import BootstrapParams
from kumamesh.names import node_id


def node(params: BootstrapParams, cluster: str) -> dict[str, Any]:
    return {
        "id": node_id(params.mesh, params.name),
        "cluster": cluster,
        "metadata": {**_always(params), **_when_set(params)},
    }


def _always(params: BootstrapParams) -> dict[str, Any]:
    # Kuma's control plane reads version.kumaDp without looking whether it is there.
    return {
        "version": {"kumaDp": {}, **params.version},
        "features": sorted(params.features),
        "workdir": params.workdir,
        "metricsCertPath": params.metrics_cert_path,
        "metricsKeyPath": params.metrics_key_path,
        "systemCaPath": params.system_ca_path,
        "ipv6Enabled": params.ipv6_enabled,
        "spireAgent.socketPath": params.spire_socket_path,
    }


def _when_set(params: BootstrapParams) -> dict[str, Any]:
    """Flat keys with dots in them; every port is a string."""
    optional: dict[str, Any] = {
        "dataplane.admin.port": _port(params.admin_port),
        "dataplane.admin.address": params.admin_address,
        "dataplane.resource": params.resource,
        "dataplane.dns.port": _port(params.dns_port),
        "dataplane.readinessReporter.port": _port(params.readiness_port),
        "dataplane.appProbeProxy.enabled": "true" if params.app_probe_proxy else "",
        "dataplane.proxyType": params.proxy_type,
        "dynamicMetadata": dict(params.dynamic_metadata),
        "transparentProxy": dict(params.transparent_proxy or {}),
    }
    return {key: value for key, value in optional.items() if value}


def _port(port: int) -> str:
    return str(port) if port else ""
