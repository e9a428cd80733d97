"""Built xDS resources as the static resources of an Envoy that has no control plane."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.core.v3 import extension_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2
from google.protobuf import json_format

from envoy_binary import envoy_path
from kumacp.xds.build import build
from kumacp.xds.model import UnitInput
from kumamesh import xds
from lab import Lab, Program, http

MESSAGES = {
    xds.CLUSTER: cluster_pb2.Cluster,
    xds.ENDPOINT: endpoint_pb2.ClusterLoadAssignment,
    xds.EXTENSION: extension_pb2.TypedExtensionConfig,
    xds.LISTENER: listener_pb2.Listener,
    xds.SECRET: secret_pb2.Secret,
}


def as_json(unit: UnitInput) -> dict[str, Any]:
    resource = build(unit)
    return json_format.MessageToDict(MESSAGES[resource.type_url].FromString(resource.body))


def static_resources(units: Iterable[UnitInput]) -> dict[str, list[Any]]:
    """Clusters hold their endpoints, listeners the filters that are resources of their own, and secrets are
    found by name, instead of all coming by ADS."""
    found: dict[str, list[Any]] = {kind: [] for kind in MESSAGES}
    for unit in units:
        found[unit.type_url].append(without_ads(as_json(unit)))
    assignments = {one["clusterName"]: one for one in found[xds.ENDPOINT]}
    for cluster in found[xds.CLUSTER]:
        if cluster.pop("edsClusterConfig", None) is not None:
            cluster.update(type="STATIC", loadAssignment=assignments[cluster["name"]])
    filters = {one["name"]: one["typedConfig"] for one in found[xds.EXTENSION]}
    return {
        "clusters": found[xds.CLUSTER],
        "listeners": _with_filters(found[xds.LISTENER], filters),
        "secrets": found[xds.SECRET],
    }


class StaticEnvoy:
    """A running Envoy; `lab` ends it."""

    def __init__(
        self, lab: Lab, folder: Path, name: str, units: Iterable[UnitInput], admin_port: int
    ) -> None:
        self._admin = f"http://127.0.0.1:{admin_port}"
        config = folder / f"{name}.json"
        admin = {"address": {"socketAddress": {"address": "127.0.0.1", "portValue": admin_port}}}
        config.write_text(json.dumps({"admin": admin, "staticResources": static_resources(units)}))
        argv = [str(envoy_path()), "-c", str(config), "--concurrency", "1", "--disable-hot-restart"]
        self.program = Program(name, [*argv, "--log-level", "warn"], folder, {})
        lab.adopt(self.program)

    def ready(self) -> StaticEnvoy:
        self.program.wait_until(lambda: http("GET", f"{self._admin}/ready")[0] == 200, "ready")
        return self

    def stats(self, filter_regex: str) -> dict[str, int]:
        _, body = http("GET", f"{self._admin}/stats?format=json&filter={filter_regex}")
        stats = json.loads(body)["stats"]
        return {stat["name"]: stat["value"] for stat in stats if "name" in stat}


def _with_filters(value: Any, filters: dict[str, Any]) -> Any:
    """A filter that is not among them stays away."""
    if isinstance(value, list):
        known = (
            item
            for item in value
            if not (isinstance(item, dict) and "configDiscovery" in item and item["name"] not in filters)
        )
        return [_with_filters(item, filters) for item in known]
    if isinstance(value, dict):
        if "configDiscovery" in value:
            return {"name": value["name"], "typedConfig": filters[value["name"]]}
        return {key: _with_filters(item, filters) for key, item in value.items()}
    return value


def without_ads(value: Any) -> Any:
    """Secrets are looked for by their names."""
    if isinstance(value, dict):
        return {key: without_ads(item) for key, item in value.items() if key != "sdsConfig"}
    return [without_ads(item) for item in value] if isinstance(value, list) else value
