"""Every resource type: its names, scope, model and rules (contract 9.2)."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kumamesh.resource import Violation
from kumamesh.resources.base import Spec
from kumamesh.resources.config import Config
from kumamesh.resources.dataplane import Dataplane
from kumamesh.resources.external_service import ExternalService
from kumamesh.resources.insight import (
    DataplaneInsight,
    MeshInsight,
    ServiceInsight,
    ZoneEgressInsight,
    ZoneIngressInsight,
    ZoneInsight,
)
from kumamesh.resources.mesh import Mesh
from kumamesh.resources.permission import MeshTrafficPermission, TrafficPermission
from kumamesh.resources.rules.dataplane import check_dataplane
from kumamesh.resources.rules.external_service import check_external_service
from kumamesh.resources.rules.mesh import check_mesh
from kumamesh.resources.rules.permission import check_mesh_traffic_permission, check_traffic_permission
from kumamesh.resources.rules.virtual_outbound import check_virtual_outbound
from kumamesh.resources.rules.zone import check_zone_egress, check_zone_ingress
from kumamesh.resources.secret import GlobalSecret, Secret
from kumamesh.resources.virtual_outbound import VirtualOutbound
from kumamesh.resources.zone import Zone, ZoneEgress, ZoneIngress

_NAMESPACED = frozenset({"Dataplane", "ZoneIngress", "ZoneEgress", "Secret", "GlobalSecret"})

Rules = Callable[[Any], Iterator[Violation]]
"""What a valid model must obey besides; fields of violations are relative to the spec."""


def _no_rules(_: Any) -> Iterator[Violation]:
    return iter(())


@dataclass(frozen=True, slots=True)
class ResourceType:
    """What the programs know of a type.

    `path` is its collection in the REST API, `singular` and `plural` its names in kumactl; `nested_spec`
    tells that the body lies under `spec`; `read_only` that only the control plane writes it; `admin_only`
    that reading takes an administrator; `policy` that it configures the traffic of proxies; `short_name`
    stands for the type in identifiers (kumamesh.kri), "" where there are none.
    """

    name: str
    path: str
    spec: type[Spec]
    mesh_scoped: bool
    singular: str
    plural: str
    rules: Rules = _no_rules
    path_aliases: tuple[str, ...] = ()
    nested_spec: bool = False
    read_only: bool = False
    admin_only: bool = False
    policy: bool = False
    short_name: str = ""

    @property
    def namespaced(self) -> bool:
        """Whether Kubernetes keeps resources of the type in namespaces."""
        return self.nested_spec or self.name in _NAMESPACED


def _insight(name: str, path: str, spec: type[Spec], *, mesh_scoped: bool) -> ResourceType:
    singular = path.removesuffix("s")
    return ResourceType(name, path, spec, mesh_scoped, singular, path, read_only=True)


_ALL = (
    ResourceType("Mesh", "meshes", Mesh, False, "mesh", "meshes", check_mesh, short_name="m"),
    ResourceType(
        "Dataplane",
        "dataplanes",
        Dataplane,
        True,
        "dataplane",
        "dataplanes",
        check_dataplane,
        short_name="dp",
    ),
    ResourceType("Secret", "secrets", Secret, True, "secret", "secrets", admin_only=True),
    ResourceType(
        "GlobalSecret",
        "global-secrets",
        GlobalSecret,
        False,
        "global-secret",
        "global-secrets",
        path_aliases=("globalsecrets",),
        admin_only=True,
    ),
    ResourceType("Zone", "zones", Zone, False, "zone", "zones"),
    ResourceType(
        "ZoneIngress",
        "zoneingresses",
        ZoneIngress,
        False,
        "zoneingress",
        "zoneingresses",
        check_zone_ingress,
        path_aliases=("zone-ingresses",),
        short_name="zi",
    ),
    ResourceType(
        "ZoneEgress",
        "zoneegresses",
        ZoneEgress,
        False,
        "zoneegress",
        "zoneegresses",
        check_zone_egress,
        short_name="ze",
    ),
    ResourceType(
        "TrafficPermission",
        "traffic-permissions",
        TrafficPermission,
        True,
        "traffic-permission",
        "traffic-permissions",
        check_traffic_permission,
        policy=True,
    ),
    ResourceType(
        "MeshTrafficPermission",
        "meshtrafficpermissions",
        MeshTrafficPermission,
        True,
        "meshtrafficpermission",
        "meshtrafficpermissions",
        check_mesh_traffic_permission,
        nested_spec=True,
        policy=True,
        short_name="mtp",
    ),
    ResourceType(
        "ExternalService",
        "external-services",
        ExternalService,
        True,
        "external-service",
        "external-services",
        check_external_service,
    ),
    ResourceType(
        "VirtualOutbound",
        "virtual-outbounds",
        VirtualOutbound,
        True,
        "virtual-outbound",
        "virtual-outbounds",
        check_virtual_outbound,
    ),
    ResourceType("Config", "configs", Config, False, "config", "configs", read_only=True, admin_only=True),
    _insight("DataplaneInsight", "dataplane-insights", DataplaneInsight, mesh_scoped=True),
    _insight("ServiceInsight", "service-insights", ServiceInsight, mesh_scoped=True),
    _insight("MeshInsight", "mesh-insights", MeshInsight, mesh_scoped=False),
    _insight("ZoneIngressInsight", "zone-ingress-insights", ZoneIngressInsight, mesh_scoped=False),
    _insight("ZoneEgressInsight", "zone-egress-insights", ZoneEgressInsight, mesh_scoped=False),
    _insight("ZoneInsight", "zone-insights", ZoneInsight, mesh_scoped=False),
)

TYPES: Mapping[str, ResourceType] = MappingProxyType({type_.name: type_ for type_ in _ALL})
_BY_PATH = {path: type_ for type_ in _ALL for path in (type_.path, *type_.path_aliases)}
_BY_FOLDED_NAME = {type_.name.lower(): type_.name for type_ in _ALL}


def by_path(path: str) -> ResourceType | None:
    """The type whose collection in the REST API is called so."""
    return _BY_PATH.get(path)


def suggest_type(name: str) -> str | None:
    """The type that a mistyped name most likely means."""
    close = difflib.get_close_matches(name.lower(), _BY_FOLDED_NAME, n=1, cutoff=0.6)
    return _BY_FOLDED_NAME[close[0]] if close else None
