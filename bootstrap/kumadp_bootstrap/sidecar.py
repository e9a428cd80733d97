"""The bootstrap of a sidecar or gateway."""

from __future__ import annotations

from typing import Any

from kumadp_bootstrap import gateway
from kumadp_bootstrap.params import BootstrapParams
from kumadp_bootstrap.proxy import proxy
from kumadp_bootstrap.xds_source import hds_config

_NO_SERVICE = "unknown"


def sidecar(params: BootstrapParams) -> dict[str, Any]:
    document = proxy(params, params.service or _NO_SERVICE)
    if params.hds:
        document["hds_config"] = hds_config(params)
    if params.gateway:
        document["layered_runtime"]["layers"].append(gateway.runtime_layer())
        document["overload_manager"] = gateway.overload_manager(params.gateway)
    return document
