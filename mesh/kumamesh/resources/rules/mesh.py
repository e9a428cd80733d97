"""Rules of Mesh (kuma-cp 2.5). What depends on the stored Mesh is the control plane's to check."""

from __future__ import annotations

from collections.abc import Sequence

from kumamesh.resource import Violation
from kumamesh.resources.mesh import ConstraintRule, Mesh, Mtls
from kumamesh.resources.rules.backend import (
    check_logging_backend,
    check_metrics_backend,
    check_mtls_backend,
    check_tracing_backend,
)
from kumamesh.resources.rules.common import (
    BAD_DURATION,
    Violations,
    check_selector,
    check_unique_names,
    positive_duration,
)


def check_mesh(mesh: Mesh) -> Violations:
    if mesh.mtls is not None:
        yield from _check_mtls(mesh.mtls)
    yield from _check_logging(mesh)
    yield from _check_tracing(mesh)
    yield from _check_metrics(mesh)
    constraints = mesh.constraints.dataplane_proxy
    yield from _check_constraints("constraints.dataplaneProxy.requirements", constraints.requirements)
    yield from _check_constraints("constraints.dataplaneProxy.restrictions", constraints.restrictions)
    if mesh.routing.zone_egress and (mesh.mtls is None or not mesh.mtls.enabled_backend):
        yield Violation("mtls", "has to be set when zoneEgress enabled")


def _check_mtls(mtls: Mtls) -> Violations:
    names = [backend.name for backend in mtls.backends]
    if len(names) > 1:
        yield Violation("mtls.backends", "cannot have more than 1 backends")
    yield from check_unique_names("mtls.backends", names)
    yield from _check_chosen("mtls.enabledBackend", mtls.enabled_backend, names, "backends in the mesh")
    for index, backend in enumerate(mtls.backends):
        rotation = backend.dp_cert.rotation if backend.dp_cert else None
        if rotation and rotation.expiration and not positive_duration(rotation.expiration):
            yield Violation("mtls.dpcert.rotation.expiration", BAD_DURATION)
        path = f"mtls.backends[{index}]"
        yield from check_mtls_backend(path, backend, skip_validation=mtls.skip_validation)


def _check_logging(mesh: Mesh) -> Violations:
    if mesh.logging is None:
        return
    names = [backend.name for backend in mesh.logging.backends]
    for index, backend in enumerate(mesh.logging.backends):
        yield from check_logging_backend(f"logging.backends[{index}]", backend)
    yield from check_unique_names("logging.backends", names)
    chosen = mesh.logging.default_backend
    yield from _check_chosen("logging.defaultBackend", chosen, names, "logging backend in mesh")


def _check_tracing(mesh: Mesh) -> Violations:
    if mesh.tracing is None:
        return
    names = [backend.name for backend in mesh.tracing.backends]
    for index, backend in enumerate(mesh.tracing.backends):
        yield from check_tracing_backend(f"tracing.backends[{index}]", backend)
    yield from check_unique_names("tracing.backends", names)
    chosen = mesh.tracing.default_backend
    yield from _check_chosen("tracing.defaultBackend", chosen, names, "tracing backend in mesh")


def _check_metrics(mesh: Mesh) -> Violations:
    if mesh.metrics is None:
        return
    names = [backend.name for backend in mesh.metrics.backends]
    yield from check_unique_names("metrics.backends", names)
    for index, backend in enumerate(mesh.metrics.backends):
        yield from check_metrics_backend(f"metrics.backends[{index}]", backend)
    chosen = mesh.metrics.enabled_backend
    yield from _check_chosen("metrics.enabledBackend", chosen, names, "backends in the mesh")


def _check_chosen(path: str, chosen: str, names: Sequence[str], which: str) -> Violations:
    if chosen and chosen not in names:
        yield Violation(path, f"has to be set to one of the {which}")


def _check_constraints(path: str, rules: Sequence[ConstraintRule]) -> Violations:
    for index, rule in enumerate(rules):
        yield from check_selector(f"{path}[{index}].tags", rule.tags, require_any=True)
