"""Which metrics of applications an agent merges with Envoy's (contract 1.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kumamesh.resources.dataplane import Dataplane, MetricsBackend
from kumamesh.resources.mesh import Mesh

_PROMETHEUS = "prometheus"
_DEFAULT_PATH = "/metrics"


def aggregate(mesh: Mesh, dataplane: Dataplane) -> list[dict[str, Any]]:
    """Entries of the mesh's enabled backend and of the Dataplane, which replaces those it names again."""
    backends = [backend for backend in _enabled(mesh) if backend.type == _PROMETHEUS]
    if backends and dataplane.metrics is not None and dataplane.metrics.type == _PROMETHEUS:
        backends.append(dataplane.metrics)
    entries = {entry.get("name", ""): entry for backend in backends for entry in _entries(backend.conf)}
    return [
        {
            "name": name,
            "address": entry.get("address") or dataplane.networking.address,
            "port": entry.get("port", 0),
            "path": entry.get("path") or _DEFAULT_PATH,
        }
        for name, entry in entries.items()
        if entry.get("enabled") is not False
    ]


def _enabled(mesh: Mesh) -> Iterator[MetricsBackend]:
    if mesh.metrics is not None:
        yield from (each for each in mesh.metrics.backends if each.name == mesh.metrics.enabled_backend)


def _entries(conf: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for entry in conf.get("aggregate") or ():
        if isinstance(entry, Mapping):
            yield entry
