"""What the hub must say, worked out naively: everything from scratch after every batch."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace

import hub_world as world
import remote_model
import vips_model
from kumacp.store.api import Change
from kumacp.vips.entry import Vips, parse
from kumacp.vips.names import mesh_of
from kumacp.xds.model import (
    AdminCluster,
    CaSecret,
    Endpoint,
    IdentityRequest,
    IdentitySecret,
    InboundListener,
    LocalCluster,
    OutboundListener,
    ProxyMetadata,
    ReadinessCluster,
    ServiceCluster,
    ServiceEndpoints,
    SourceTags,
    TlsMode,
    UnitInput,
    freeze_tags,
)
from kumacp.xds.outside import (
    ExternalCluster,
    ExternalEndpoint,
    ExternalTls,
    NoDestinationCluster,
    PassthroughCluster,
    PassthroughListener,
)
from kumacp.xds.remote import RemoteInstances
from kumamesh.names import MANAGED_BY_LABEL, SERVICE_TAG
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.mesh import MtlsBackend
from kumamesh.xds import content_version

Names = dict[str, dict[str, str]]
"""type_url -> name -> version."""

HTTP = {"http", "http2", "grpc"}


class Model:
    """All resources, and the little that history decides: last protocols, readiness, issued identities, last
    usable forms of external services."""

    def __init__(self) -> None:
        self.resources: dict[ResourceKey, Resource] = {}
        self.protocols: dict[tuple[str, str], str] = {}
        self.ready: set[tuple[str, str]] = set()
        self.backends: dict[str, str] = {}
        self.identities: dict[ResourceKey, IdentitySecret] = {}
        self.kept: dict[ResourceKey, Names] = {}
        self.external: dict[ResourceKey, ExternalEndpoint] = {}
        self.metadata: dict[ResourceKey, ProxyMetadata] = {}
        self.vips: dict[str, Vips] = {}

    def apply(self, changes: Iterable[Change]) -> None:
        documents: dict[str, str] = {}
        for change in changes:
            if change.key.type == "ExternalService":
                before = self.resources.get(change.key)
                if before is None or change.new is None or before.spec.service != change.new.spec.service:
                    self.external.pop(change.key, None)
            if change.key.type == "Config":
                mesh = mesh_of(change.key.name)
                assert mesh is not None
                documents[mesh] = change.new.spec.config if change.new else ""
            if change.new is None:
                self.resources.pop(change.key, None)
            else:
                self.resources[change.key] = change.new
        for mesh, document in documents.items():
            with contextlib.suppress(ValueError):
                self.vips[mesh] = parse(document)
        for mesh in {"default", "other", *self.backends}:
            self._learn(mesh)
        for proxy in list(self.identities):
            if self.backend(proxy.mesh) is None and proxy in self.resources:
                del self.identities[proxy]

    def connect(self, proxy: ResourceKey, metadata: ProxyMetadata) -> None:
        self.kept[proxy] = {}
        self.metadata[proxy] = metadata

    def disconnect(self, proxy: ResourceKey) -> None:
        self.kept.pop(proxy, None)
        self.identities.pop(proxy, None)

    def issue(self, request: IdentityRequest, identity: IdentitySecret) -> None:
        self.identities[request.proxy] = identity

    def desired(self, proxy: ResourceKey) -> Names:
        """Of a connected proxy; one whose Dataplane is gone keeps what it had."""
        dataplane = self.resources.get(proxy)
        if dataplane is not None:
            self.kept[proxy] = {}
            for input_ in self._inputs(dataplane):
                self.kept[proxy].setdefault(input_.type_url, {})[input_.name] = world.build(input_).version
        return self.kept[proxy]

    def certified(self, proxy: ResourceKey) -> tuple[str, ...]:
        """What the certificate of the proxy must state; nothing if it needs none."""
        backend = self.backend(proxy.mesh)
        ca = backend and self.resources.get(world.ca(mesh=proxy.mesh, backend=backend.name).key)
        if not backend or not ca:
            return ()
        services = self.resources[proxy].spec.services()
        return (repr(backend.name), repr(services), content_version(ca.spec.data))

    def unusable(self) -> set[ResourceKey]:
        """External services that cannot be used as they are written."""
        return {
            key
            for key, resource in self.resources.items()
            if key.type == "ExternalService" and self._external_endpoint(resource) is None
        }

    def backend(self, mesh: str) -> MtlsBackend | None:
        resource = self.resources.get(ResourceKey("Mesh", "", mesh))
        return resource.spec.enabled_backend if resource else None

    def _of(self, type_: str, mesh: str) -> list[Resource]:
        found = [resource for key, resource in self.resources.items() if key[:2] == (type_, mesh)]
        return sorted(found, key=lambda resource: resource.name)

    def _learn(self, mesh: str) -> None:
        backend = self.backend(mesh)
        enabled = backend.name if backend else ""
        if self.backends.get(mesh, "") != enabled:
            self.ready = {at for at in self.ready if at[0] != mesh}
        self.backends[mesh] = enabled
        dataplanes = self._of("Dataplane", mesh)
        for external in self._of("ExternalService", mesh):
            endpoint = self._external_endpoint(external)
            if endpoint is not None:
                self.external[external.key] = endpoint
        for service in ("s1", "s2", "s3"):
            at = (mesh, service)
            offering = [
                (dataplane, inbound)
                for dataplane in dataplanes
                for inbound in dataplane.spec.networking.inbound
                if inbound.service == service and inbound.state != "Ignored"
            ]
            referred = any(
                outbound.service == service
                for dataplane in dataplanes
                for outbound in dataplane.spec.networking.outbound
            ) or service in vips_model.services(self.vips.get(mesh, {}))
            remote = self._remote(mesh, service)
            if offering:
                told = {inbound.protocol_name for _, inbound in offering}
                self.protocols[at] = _common(told | ({one.protocol for one in remote} if enabled else set()))
                if not enabled or not self._certified(at, enabled, [dataplane for dataplane, _ in offering]):
                    self.ready.discard(at)
                else:
                    self.ready.add(at)
            elif remote:
                self.protocols[at] = _common({one.protocol for one in remote})
                if enabled:
                    self.ready.add(at)
            elif outside := self._outside(mesh, service):
                self.protocols[at] = _common({one.spec.protocol_name for one in outside})
            elif not referred and not self._remote(mesh, service, external=True):
                self.protocols.pop(at, None)
                self.ready.discard(at)

    def _outside(self, mesh: str, service: str) -> list[Resource]:
        """The external services of a service that no Dataplane of any zone offers."""
        offered = self._remote(mesh, service) or any(
            inbound.service == service and inbound.state != "Ignored"
            for dataplane in self._of("Dataplane", mesh)
            for inbound in dataplane.spec.networking.inbound
        )
        return [
            one for one in self._of("ExternalService", mesh) if not offered and one.spec.service == service
        ]

    def _remote(self, mesh: str, service: str, *, external: bool = False) -> list[RemoteInstances]:
        ingresses = [one.spec for one in self._of("ZoneIngress", "")]
        return remote_model.remote_instances(ingresses, mesh, service, external=external)

    def _routing(self, mesh: str) -> tuple[bool, bool]:
        """Whether it is locality-aware, and whether it leaves the zone through egresses."""
        resource = self.resources.get(ResourceKey("Mesh", "", mesh))
        if resource is None:
            return False, False
        routing = resource.spec.routing
        return routing.locality_aware_load_balancing, routing.zone_egress and self.backend(mesh) is not None

    def _egresses(self) -> list[Endpoint]:
        own = [one.spec.networking for one in self._of("ZoneEgress", "") if one.spec.zone == "east"]
        return [Endpoint(*at, edge=True) for at in sorted({(one.address, one.port) for one in own})]

    def _external_endpoint(self, resource: Resource) -> ExternalEndpoint | None:
        tls = resource.spec.networking.tls
        host, port = resource.spec.networking.address.split(":")
        tags = {tag: value for tag, value in resource.spec.tags.items() if tag != SERVICE_TAG}
        found = None
        if tls is not None:
            ca = b""
            if tls.ca_cert is not None:
                secret = self.resources.get(ResourceKey("Secret", resource.mesh, tls.ca_cert.secret))
                if secret is None or secret.spec.data == world.NO_PEM:
                    return None
                ca = secret.spec.data
            tags["kuma.io/external-service-name"] = resource.name
            found = ExternalTls("" if host == "192.0.2.1" else host, host, ca)
        zone = tags.get("kuma.io/zone", "")
        return ExternalEndpoint(Endpoint(host, int(port), tags=tuple(sorted(tags.items())), zone=zone), found)

    def _certified(self, at: tuple[str, str], enabled: str, dataplanes: list[Resource]) -> bool:
        for dataplane in dataplanes:
            insight = self.resources.get(ResourceKey("DataplaneInsight", at[0], dataplane.name))
            issued = insight.spec.m_tls.issued_backend if insight and insight.spec.m_tls else ""
            waiting = at in self.ready and issued == "" and MANAGED_BY_LABEL in dataplane.labels
            if issued != enabled and not waiting:
                return False
        return True

    def _inputs(self, dataplane: Resource) -> list[UnitInput]:
        mesh, backend = dataplane.mesh, self.backend(dataplane.mesh)
        mode = TlsMode(backend.mode) if backend else None
        inputs: list[UnitInput] = [
            AdminCluster("127.0.0.1", 9901),
            ReadinessCluster("/run/kuma/kuma-readiness-reporter.sock", "", 0),
            SourceTags(tuple((tag, ",".join(values)) for tag, values in dataplane.spec.tag_values().items())),
        ]
        if backend:
            ca = self.resources.get(world.ca(mesh=mesh, backend=backend.name).key)
            inputs += [CaSecret(mesh, ca.spec.data)] if ca else []
            inputs += [self.identities[dataplane.key]] if dataplane.key in self.identities else []
        return [
            *inputs,
            *self._passthrough_inputs(dataplane, mode),
            *self._inbound_inputs(dataplane, mode),
            *self._outbound_inputs(dataplane, mode),
            *self._named_and_direct_inputs(dataplane, mode),
        ]

    def _passthrough_inputs(self, dataplane: Resource, mode: TlsMode | None) -> list[UnitInput]:
        metadata = self.metadata[dataplane.key]
        if vips_model.redirection(dataplane.spec, metadata) is None:
            return []
        mesh = self.resources.get(ResourceKey("Mesh", "", dataplane.mesh))
        ports = {inbound.port for inbound in dataplane.spec.networking.inbound}
        strict = tuple(sorted(ports)) if mode is TlsMode.STRICT else ()
        inputs: list[UnitInput] = [NoDestinationCluster()]
        for family, address, source in (("ipv4", "0.0.0.0", "127.0.0.6"), ("ipv6", "::", "::6")):
            if family == "ipv6" and not metadata.ipv6_enabled:
                continue
            out, into = f"outbound:passthrough:{family}", f"inbound:passthrough:{family}"
            if mesh is None or mesh.spec.passthrough:
                inputs.append(PassthroughCluster(out))
            inputs.append(PassthroughListener(out, address, 15001, True, True))
            inputs.append(PassthroughCluster(into, source))
            inputs.append(PassthroughListener(into, address, 15006, False, True, strict))
        return inputs

    def _inbound_inputs(self, dataplane: Resource, mode: TlsMode | None) -> list[UnitInput]:
        mesh, spec = dataplane.mesh, dataplane.spec
        metadata = self.metadata[dataplane.key]
        redirected = vips_model.redirection(spec, metadata) is not None
        inputs: list[UnitInput] = []
        for inbound in spec.networking.inbound:
            if inbound.state == "Ignored":
                continue
            protocol = inbound.protocol_name
            rbac = world.permission(
                mesh,
                dataplane,
                inbound,
                traffic_permissions=self._of("TrafficPermission", mesh),
                mesh_traffic_permissions=(),
                http=protocol in HTTP,
            )
            source = "127.0.0.6" if redirected else ""
            inputs.append(LocalCluster(spec.networking.address, inbound.port, protocol, source))
            inputs.append(
                InboundListener(
                    spec.networking.address,
                    inbound.port,
                    mesh,
                    inbound.service,
                    freeze_tags(inbound.tags),
                    protocol,
                    inbound.port,
                    mode,
                    rbac if mode else None,
                    reuse_port=True,
                    ipv6=metadata.ipv6_enabled,
                    bind=not redirected,
                )
            )
        return inputs

    def _outbound_inputs(self, dataplane: Resource, mode: TlsMode | None) -> list[UnitInput]:
        mesh, metadata = dataplane.mesh, self.metadata[dataplane.key]
        inputs: list[UnitInput] = []
        for way in vips_model.ways(dataplane.spec, metadata, self.vips.get(mesh, {})):
            service = way.tags[SERVICE_TAG]
            protocol = self.protocols.get((mesh, service), "tcp")
            ready = (mesh, service) in self.ready
            tls = mode is TlsMode.STRICT or (mode is TlsMode.PERMISSIVE and ready)
            tags = tuple((tag, value) for tag, value in freeze_tags(way.tags) if tag != SERVICE_TAG)
            outside = self._outside(mesh, service)
            if outside and self._routing(mesh)[1]:
                cluster = ServiceCluster(mesh, service, protocol, tls=True, tags=tags, peer="zone-egress")
                version = world.build(cluster).version
                found = tuple(self._egresses())
                inputs += [cluster, ServiceEndpoints(service, found, version, tags)]
            elif outside:
                endpoints = self._external_endpoints(mesh, outside, way.tags)
                inputs.append(ExternalCluster(service, protocol, endpoints, tags))
            else:
                edges = mode is not None and bool(self._remote(mesh, service))
                cluster = ServiceCluster(mesh, service, protocol, tls, tags, edges=edges)
                inputs.append(cluster)
                version = world.build(cluster).version
                inputs.append(ServiceEndpoints(service, self._endpoints(mesh, way.tags), version, tags))
            inputs.append(
                OutboundListener(
                    way.address,
                    way.port,
                    mesh,
                    service,
                    freeze_tags(way.tags),
                    protocol,
                    reuse_port=world.BIND not in metadata.features,
                    ipv6=metadata.ipv6_enabled,
                    external=bool(outside),
                    bind=vips_model.redirection(dataplane.spec, metadata) is None,
                )
            )
        return inputs

    def _named_and_direct_inputs(self, dataplane: Resource, mode: TlsMode | None) -> list[UnitInput]:
        mesh, spec, metadata = dataplane.mesh, dataplane.spec, self.metadata[dataplane.key]
        vips = self.vips.get(mesh, {})
        others = [one.spec for one in self._of("Dataplane", mesh)]
        ready = {service for at, service in self.ready if at == mesh}
        ways = vips_model.ways(spec, metadata, vips)
        return [
            *vips_model.name_inputs(spec, metadata, vips),
            *vips_model.direct_inputs(spec, metadata, others, ways, mesh, mode, ready),
        ]

    def _external_endpoints(
        self, mesh: str, outside: list[Resource], wanted: Mapping[str, str]
    ) -> tuple[ExternalEndpoint, ...]:
        near_first, _ = self._routing(mesh)
        found = []
        for one in outside:
            endpoint = self.external.get(one.key)
            tags = {SERVICE_TAG: one.spec.service, **dict(endpoint.at.tags)} if endpoint else {}
            if endpoint is not None and tags.items() >= wanted.items():
                priority = 1 if near_first and endpoint.at.zone == "west" else 0
                found.append(replace(endpoint, at=replace(endpoint.at, priority=priority)))
        return tuple(found)

    def _endpoints(self, mesh: str, wanted: Mapping[str, str]) -> tuple[Endpoint, ...]:
        found = [
            Endpoint(
                dataplane.spec.networking.address,
                inbound.port,
                tags=tuple(sorted((tag, value) for tag, value in inbound.tags.items() if tag != SERVICE_TAG)),
                zone="east",
            )
            for dataplane in self._of("Dataplane", mesh)
            for inbound in dataplane.spec.networking.inbound
            if inbound.healthy and inbound.tags.items() >= wanted.items()
        ]
        local = sorted(found, key=lambda at: (at.address, at.port, at.tags))
        if self.backend(mesh) is None:
            return tuple(local)
        asked = {pair for pair in wanted.items() if pair[0] != SERVICE_TAG}
        remote = [one for one in self._remote(mesh, wanted[SERVICE_TAG]) if asked <= set(one.tags)]
        near_first, leaves = self._routing(mesh)
        egresses = self._egresses() if leaves else None
        return remote_model.endpoints(local, remote, egresses, near_first=near_first)


def _common(protocols: set[str]) -> str:
    if len(protocols) == 1:
        return next(iter(protocols))
    if not protocols <= HTTP:
        return "tcp"
    return "http" if "http" in protocols else "http2"
