"""Warnings about input that is stored but deprecated or risky."""

from __future__ import annotations

import re
from collections.abc import Iterator

from kumamesh.names import ZONE_TAG
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.mesh import Mesh

PERMISSION_TYPES = ("TrafficPermission", "MeshTrafficPermission")
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


def name_warnings(name: str) -> Iterator[str]:
    if not _SUBDOMAIN.fullmatch(name):
        yield (
            f"name: {name!r} is of the old form; use lower-case letters, digits, '-' and '.', with a letter"
            " or digit at both ends of every part"
        )


def dataplane_warnings(given: Dataplane, zone: str) -> Iterator[str]:
    for index, inbound in enumerate(given.networking.inbound):
        path = f"networking.inbound[{index}]"
        if inbound.health is not None:
            yield f"{path}.health: is deprecated, use state: Ready, NotReady or Ignored"
        if inbound.tags.get(ZONE_TAG, zone) != zone:
            yield f"{path}.tags: {ZONE_TAG} {inbound.tags[ZONE_TAG]!r} was replaced by this zone, {zone!r}"


def mesh_warnings(mesh: Resource, permitted: bool) -> Iterator[str]:
    """`permitted`: the mesh has a permission of any kind."""
    spec: Mesh = mesh.spec
    if spec.mtls is not None and spec.mtls.skip_validation:
        yield "mtls.skipValidation: requests may fail while proxies of two authorities meet"
    for field in ("metrics", "logging", "tracing"):
        if getattr(spec, field) is not None:
            yield f"{field}: is stored, but has no effect in this version"
    if spec.enabled_backend is not None and not permitted:
        yield (
            f"mtls: every request in mesh {mesh.name!r} is denied until it has a TrafficPermission or a"
            " MeshTrafficPermission"
        )


def permission_warnings(mesh: Resource) -> Iterator[str]:
    if mesh.spec.enabled_backend is None:
        yield f"mesh {mesh.name!r} has no mTLS, so that permissions have no effect in it"
