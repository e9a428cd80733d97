"""Warnings about input that is stored but deprecated or risky."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from kumacp.xds.external import Unusable, external_endpoint
from kumamesh.names import ZONE_TAG
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.external_service import ExternalService, ExternalServiceTls
from kumamesh.resources.mesh import Mesh

PERMISSION_TYPES = ("TrafficPermission", "MeshTrafficPermission")
_MOST_LISTED = 5
_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = re.compile(rf"{_LABEL}(\.{_LABEL})*")


@dataclass(frozen=True, slots=True)
class Zones:
    """The zones that this control plane knows, and those that have a ZoneEgress."""

    known: frozenset[str] = frozenset()
    with_egress: frozenset[str] = frozenset()

    @property
    def without_egress(self) -> frozenset[str]:
        return self.known - self.with_egress


def name_warnings(name: str) -> Iterator[str]:
    if not _SUBDOMAIN.fullmatch(name):
        yield (
            f"name: {name!r} is of the old form; use lower-case letters, digits, '-' and '.', with a letter"
            " or digit at both ends of every part"
        )


def zone_warnings() -> Iterator[str]:
    yield "Zone resources have an effect on a global control plane only, and this zone stands alone"


def dataplane_warnings(given: Dataplane, zone: str) -> Iterator[str]:
    for index, inbound in enumerate(given.networking.inbound):
        path = f"networking.inbound[{index}]"
        if inbound.health is not None:
            yield f"{path}.health: is deprecated, use state: Ready, NotReady or Ignored"
        if inbound.tags.get(ZONE_TAG, zone) != zone:
            yield f"{path}.tags: {ZONE_TAG} {inbound.tags[ZONE_TAG]!r} was replaced by this zone, {zone!r}"


def mesh_warnings(mesh: Resource, permitted: bool, zones: Zones) -> Iterator[str]:
    """`permitted`: the mesh has a permission of any kind."""
    spec: Mesh = mesh.spec
    if spec.mtls is not None and spec.mtls.skip_validation:
        yield "mtls.skipValidation: requests may fail while proxies of two authorities meet"
    for field in ("metrics", "logging", "tracing"):
        if getattr(spec, field) is not None:
            yield f"{field}: is stored, but has no effect in this version"
    if spec.routing.zone_egress and zones.without_egress:
        yield (
            "routing.zoneEgress: without a ZoneEgress a zone reaches neither other zones nor external"
            f" services; there is none in {_listed(zones.without_egress)}"
        )
    if spec.enabled_backend is None and len(zones.known) > 1:
        yield f"mtls: services of other zones cannot be reached in mesh {mesh.name!r} while mTLS is off"
    if spec.enabled_backend is not None and not permitted:
        yield (
            f"mtls: every request in mesh {mesh.name!r} is denied until it has a TrafficPermission or a"
            " MeshTrafficPermission"
        )


def permission_warnings(mesh: Resource) -> Iterator[str]:
    if mesh.spec.enabled_backend is None:
        yield f"mesh {mesh.name!r} has no mTLS, so that permissions have no effect in it"


def external_service_warnings(service: Resource, secrets: Mapping[str, bytes]) -> Iterator[str]:
    """`secrets` are those of the mesh by name."""
    spec: ExternalService = service.spec
    tls = spec.networking.tls
    if tls is None:
        return
    if not tls.enabled:
        yield "networking.tls: has no effect unless enabled is true"
        return
    try:
        external_endpoint(service.name, spec, secrets)
    except Unusable as error:
        yield f"{error}; until that changes, proxies keep what was there before, or have no endpoint"
    yield from _client_warnings(tls)
    if tls.ca_cert is None:
        yield (
            "networking.tls.caCert: is not set, so that the server's certificate is verified with the"
            " authorities that the host of the proxy trusts, and not at all where kuma-dp knows of none"
        )


def _client_warnings(tls: ExternalServiceTls) -> Iterator[str]:
    if (tls.client_cert is None) != (tls.client_key is None):
        given, lacking = (
            ("clientKey", "clientCert") if tls.client_cert is None else ("clientCert", "clientKey")
        )
        yield f"networking.tls.{given}: has no effect without {lacking}"
    if tls.client_key is not None and not tls.client_key.secret:
        yield (
            "networking.tls.clientKey: can be read by everybody who may read this resource; put it into a"
            " Secret of the mesh"
        )


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:_MOST_LISTED])
    return f"{shown} and {len(names) - _MOST_LISTED} more" if len(names) > _MOST_LISTED else shown
