"""Resources, a cheap builder and a cheap permission for tests of the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kumacp.store.api import Change, Operation
from kumacp.vips.entry import Kind, VipEntry, VipOutbound, render
from kumacp.vips.names import config_name
from kumacp.xds.model import (
    IdentityRequest,
    IdentitySecret,
    PrincipalPolicy,
    PrincipalRbac,
    ProxyMetadata,
    Rbac,
    Redirection,
    UnitInput,
    UriMatch,
    freeze_tags,
)
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL, builtin_ca_cert_secret
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.config import Config
from kumamesh.resources.dataplane import Dataplane, Inbound
from kumamesh.resources.external_service import ExternalService
from kumamesh.resources.insight import DataplaneInsight
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.permission import TrafficPermission
from kumamesh.resources.secret import Secret
from kumamesh.resources.zone import ZoneEgress, ZoneIngress
from kumamesh.xds import XdsResource, content_version
from mesh_pki import Pki

METADATA = ProxyMetadata(
    features=frozenset(
        {"feature-readiness-unix-socket", "feature-reuse-port", "feature-strict-inbound-ports"}
    ),
    admin_port=9901,
    readiness_port=9902,
    workdir="/run/kuma",
)


def answering(*features: str, **changes: Any) -> ProxyMetadata:
    """Of a proxy that answers names, and has these features too."""
    return replace(METADATA, features=METADATA.features.union(features), **{"dns_port": 15054, **changes})


EMBEDDED, BIND = "feature-embedded-dns", "feature-bind-outbounds"
IN_METADATA = "feature-transparent-proxy-in-dataplane-metadata"
METADATAS = (
    METADATA,
    answering(EMBEDDED),
    answering(),
    answering(EMBEDDED, BIND),
    answering(EMBEDDED, IN_METADATA, redirection=Redirection(15001, 15006), ipv6_enabled=False),
    answering(IN_METADATA, redirection=Redirection(0)),
)
"""Of proxies of all kinds, as far as names and redirection go."""

AUTHORITIES = (Pki.create("one").ca, Pki.create("two").ca)
"""PEM texts that an ExternalService may trust."""
NO_PEM = b"garbage"
REDIRECTED = {"redirectPortInbound": 15006, "redirectPortOutbound": 15001}


def build(input_: UnitInput) -> XdsResource:
    """A resource whose body is the text of the input."""
    body = repr(input_).encode()
    return XdsResource(input_.type_url, input_.name, content_version(body), body)


def permission(
    mesh: str,
    dataplane: Resource,
    inbound: Inbound,
    *,
    traffic_permissions: Sequence[Resource],
    mesh_traffic_permissions: Sequence[Resource],
    http: bool,
) -> Rbac:
    """Every TrafficPermission to the inbound's service or to `*` allows its sources."""
    return PrincipalRbac(
        allow=tuple(
            PrincipalPolicy(
                resource.name,
                tuple((UriMatch(source.match["kuma.io/service"]),) for source in resource.spec.sources),
            )
            for resource in traffic_permissions
            if any(
                selector.match["kuma.io/service"] in {inbound.service, "*"}
                for selector in resource.spec.destinations
            )
        ),
        http=http,
    )


def key(name: str, mesh: str = "default") -> ResourceKey:
    return ResourceKey("Dataplane", mesh, name)


def inbound(service: str, port: int = 8080, protocol: str = "http", **more: Any) -> dict[str, Any]:
    tags = {"kuma.io/service": service, "kuma.io/protocol": protocol, **more.pop("tags", {})}
    return {"port": port, "tags": tags, **more}


def dataplane(
    name: str,
    *,
    mesh: str = "default",
    address: str = "10.0.0.1",
    inbounds: Iterable[Mapping[str, Any]] = (),
    outbounds: Mapping[int, str | Mapping[str, str]] | None = None,
    connected: bool = False,
    **networking: Any,
) -> Resource:
    """`outbounds` are services or tags by port; `connected`: registered by the connection of its proxy."""
    spec = {
        "networking": {
            "address": address,
            "inbound": list(inbounds),
            "outbound": [
                {"port": port, "tags": {"kuma.io/service": to} if isinstance(to, str) else dict(to)}
                for port, to in (outbounds or {}).items()
            ],
            **networking,
        }
    }
    labels = {MANAGED_BY_LABEL: MANAGED_BY_CONNECTION} if connected else {}
    return Resource(key(name, mesh), Dataplane.model_validate(spec), labels)


def mesh(
    name: str = "default", mode: str = "", backend: str = "ca-1", lifetime: str = "1h", **fields: Any
) -> Resource:
    """`mode` empty: no mTLS. `fields` are further ones of the Mesh."""
    rotation = {"rotation": {"expiration": lifetime}}
    backends = [{"name": backend, "type": "builtin", "mode": mode, "dpCert": rotation}]
    mtls = {"mtls": {"enabledBackend": backend, "backends": backends}} if mode else {}
    return Resource(ResourceKey("Mesh", "", name), Mesh.model_validate({**fields, **mtls}))


def secret(name: str, data: bytes, mesh: str = "default") -> Resource:
    return Resource(ResourceKey("Secret", mesh, name), Secret(data=data))


def ca(data: bytes = b"root", mesh: str = "default", backend: str = "ca-1") -> Resource:
    return secret(builtin_ca_cert_secret(mesh, backend), data, mesh)


def insight(name: str, backend: str = "", mesh: str = "default", regenerations: int = 0) -> Resource:
    """`backend` empty: no certificate was issued yet."""
    mtls = {"mTLS": {"issuedBackend": backend, "certificateRegenerations": regenerations}} if backend else {}
    return Resource(ResourceKey("DataplaneInsight", mesh, name), DataplaneInsight.model_validate(mtls))


def traffic_permission(name: str, source: str, destination: str, mesh: str = "default") -> Resource:
    spec = {
        "sources": [{"match": {"kuma.io/service": source}}],
        "destinations": [{"match": {"kuma.io/service": destination}}],
    }
    return Resource(ResourceKey("TrafficPermission", mesh, name), TrafficPermission.model_validate(spec))


def external_service(
    name: str,
    service: str,
    address: str = "httpbin.example:443",
    *,
    mesh: str = "default",
    protocol: str = "",
    tags: Mapping[str, str] | None = None,
    tls: Mapping[str, Any] | None = None,
) -> Resource:
    """`tls` given: TLS is on."""
    spec = {
        "networking": {"address": address, **({} if tls is None else {"tls": {"enabled": True, **tls}})},
        "tags": {
            "kuma.io/service": service,
            **({"kuma.io/protocol": protocol} if protocol else {}),
            **(tags or {}),
        },
    }
    return Resource(ResourceKey("ExternalService", mesh, name), ExternalService.model_validate(spec))


def zone_egress(name: str, address: str = "10.0.9.2", port: int = 10002, zone: str = "east") -> Resource:
    spec = {"zone": zone, "networking": {"address": address, "port": port}}
    return Resource(ResourceKey("ZoneEgress", "", name), ZoneEgress.model_validate(spec))


def available(
    service: str,
    instances: int = 1,
    *,
    mesh: str = "default",
    zone: str = "west",
    external: bool = False,
    **tags: str,
) -> dict[str, Any]:
    """What an ingress says that its zone offers."""
    tagged = {"kuma.io/service": service, "kuma.io/zone": zone, "kuma.io/protocol": "http", **tags}
    return {"tags": tagged, "instances": instances, "mesh": mesh, "externalService": external}


def zone_ingress(
    name: str,
    *offered: Mapping[str, Any],
    zone: str = "west",
    at: tuple[str, int] = ("192.0.2.9", 10001),
) -> Resource:
    """`offered` are made by `available`, `at` is where other zones reach it."""
    networking = {"address": "10.0.9.1", "port": 10001, "advertisedAddress": at[0], "advertisedPort": at[1]}
    spec = {"zone": zone, "networking": networking, "availableServices": list(offered)}
    return Resource(ResourceKey("ZoneIngress", "", name), ZoneIngress.model_validate(spec))


def vip(kind: Kind, name: str, address: str, ports: Mapping[int, str | Mapping[str, str]]) -> VipEntry:
    """`ports` are services or tags by port."""
    outbounds = (
        VipOutbound(port, freeze_tags({"kuma.io/service": to} if isinstance(to, str) else to), "service")
        for port, to in ports.items()
    )
    return VipEntry(kind, name, address, tuple(outbounds))


def service_vip(service: str, address: str, port: int = 0) -> VipEntry:
    return vip(Kind.SERVICE, service, address, {port: service})


def vips(*entries: VipEntry, mesh: str = "default", text: str | None = None) -> Resource:
    """The document with the entries, or with any text."""
    config = render({(entry.kind, entry.name): entry for entry in entries}) if text is None else text
    return Resource(ResourceKey("Config", "", config_name(mesh)), Config(config=config))


def identity(request: IdentityRequest, serial: int = 1) -> IdentitySecret:
    return IdentitySecret(request.mesh, f"{request!r} {serial}".encode(), b"key")


class Writer:
    """A store that only remembers what is there, to tell changes as a store would."""

    def __init__(self) -> None:
        self.resources: dict[ResourceKey, Resource] = {}

    def put(self, resource: Resource) -> Change:
        old = self.resources.get(resource.key)
        self.resources[resource.key] = resource
        return Change(Operation.UPDATE if old else Operation.CREATE, resource.key, old, resource)

    def delete(self, key: ResourceKey) -> Change | None:
        old = self.resources.pop(key, None)
        return Change(Operation.DELETE, key, old, None) if old else None
