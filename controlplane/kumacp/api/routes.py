"""What a path of the REST API means (contract 9.2-9.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from kumacp.api.aspects import aspect_of
from kumacp.api.parameters import DATAPLANES, FORMAT, LABELS, NAME, PAGE, SERVICE_TYPE, Parameter, of_aspect
from kumamesh.names import DEFAULT_MESH
from kumamesh.resources.registry import TYPES, ResourceType, by_path
from kumamesh.settings import suggestion

_MESHES = "meshes"
_KRI = "_kri"
_OVERVIEW = "_overview"
_LEGACY_OVERVIEW = "+insights"
_LEGACY_EGRESS_OVERVIEW = "zoneegressoverviews"


class Kind(Enum):
    """The operation behind a path."""

    INDEX = "index"
    CONFIG = "config"
    WHO_AM_I = "who-am-i"
    OPENAPI = "openapi"
    POLICIES = "policies"
    RESOURCES = "resources"
    VERSIONS = "versions"
    GLOBAL_INSIGHT = "global insight"
    GLOBAL_INSIGHTS = "global insights"
    ZONE_STATUS = "zone status"
    KRI = "kri"
    TOKEN = "token"  # noqa: S105
    LIST = "list"
    ITEM = "item"
    OVERVIEWS = "overviews"
    OVERVIEW = "overview"
    SERVICE_INSIGHTS = "service insights"
    SERVICE_INSIGHT = "service insight"
    MESH_INSIGHTS = "mesh insights"
    MESH_INSIGHT = "mesh insight"
    ASPECT = "aspect"


@dataclass(frozen=True, slots=True)
class Route:
    """A path understood. `mesh` is None for lists over all meshes, "" for types of global scope; `name` is
    that of the resource, the kind of a token, or an identifier; `aspect` is what is asked of the resource."""

    kind: Kind
    type: ResourceType | None = None
    mesh: str | None = ""
    name: str = ""
    aspect: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """Methods that the path answers."""
        if self.kind is Kind.TOKEN:
            return ("POST",)
        if self.kind is Kind.ITEM and self.type is not None and not self.type.read_only:
            return ("GET", "HEAD", "PUT", "DELETE")
        return ("GET", "HEAD")

    def parameters(self, method: str) -> tuple[Parameter, ...]:
        """Query parameters that the path takes."""
        if self.kind in (Kind.LIST, Kind.OVERVIEWS):
            of_proxies = DATAPLANES if self.type is not None and self.type.name == "Dataplane" else ()
            return (*PAGE, NAME, LABELS, *of_proxies)
        if self.kind is Kind.SERVICE_INSIGHTS:
            return (*PAGE, NAME, SERVICE_TYPE)
        if self.kind is Kind.MESH_INSIGHTS:
            return (*PAGE, NAME)
        if self.kind is Kind.KRI or (self.kind is Kind.ITEM and method in ("GET", "HEAD")):
            return FORMAT
        return of_aspect(self.aspect)


_FIXED = {
    (): Route(Kind.INDEX),
    ("config",): Route(Kind.CONFIG),
    ("who-am-i",): Route(Kind.WHO_AM_I),
    ("openapi.json",): Route(Kind.OPENAPI),
    ("policies",): Route(Kind.POLICIES),
    ("_resources",): Route(Kind.RESOURCES),
    ("versions",): Route(Kind.VERSIONS),
    ("global-insight",): Route(Kind.GLOBAL_INSIGHT),
    ("global-insights",): Route(Kind.GLOBAL_INSIGHTS),
    ("status", "zones"): Route(Kind.ZONE_STATUS),
    ("tokens",): Route(Kind.TOKEN, name="dataplane"),
    ("tokens", "dataplane"): Route(Kind.TOKEN, name="dataplane"),
    ("tokens", "zone"): Route(Kind.TOKEN, name="zone"),
    ("tokens", "user"): Route(Kind.TOKEN, name="user"),
}
FIXED_PATHS = tuple(_FIXED)
"""Segments of the paths that have no variable part."""
_COMPUTED = {
    "ServiceInsight": (Kind.SERVICE_INSIGHTS, Kind.SERVICE_INSIGHT),
    "MeshInsight": (Kind.MESH_INSIGHTS, Kind.MESH_INSIGHT),
}
OVERVIEW_INSIGHTS = {
    "Dataplane": "DataplaneInsight",
    "Zone": "ZoneInsight",
    "ZoneIngress": "ZoneIngressInsight",
    "ZoneEgress": "ZoneEgressInsight",
}
"""Types that are shown together with their insight."""


def match(segments: Sequence[str]) -> Route | None:
    """The route of a path's segments, None when there is none."""
    parts = tuple(segments)
    if parts in _FIXED:
        return _FIXED[parts]
    if not all(parts):
        return None
    if parts[0] == _KRI:
        return Route(Kind.KRI, name=parts[1]) if len(parts) == 2 else None
    if parts[0] == _MESHES and len(parts) > 2:
        return _collection(parts[2], parts[3:], parts[1])
    return _collection(parts[0], parts[1:], None)


def _collection(path: str, rest: tuple[str, ...], mesh: str | None) -> Route | None:
    """`<path>[/...]` below a mesh, or at the top where `mesh` is None."""
    legacy = path.endswith(_LEGACY_OVERVIEW) or path == _LEGACY_EGRESS_OVERVIEW
    if path == _LEGACY_EGRESS_OVERVIEW:
        type_ = TYPES.get("ZoneEgress")
    else:
        type_ = by_path(path.removesuffix(_LEGACY_OVERVIEW))
    if type_ is None or (mesh is not None and not type_.mesh_scoped):
        return None
    if legacy:
        rest = (*rest, _OVERVIEW)
    scope = mesh if type_.mesh_scoped else ""
    return _within(type_, scope, rest)


def _within(type_: ResourceType, mesh: str | None, rest: tuple[str, ...]) -> Route | None:
    plural, single = _COMPUTED.get(type_.name, (Kind.LIST, Kind.ITEM))
    if rest and rest[-1] == _OVERVIEW:
        if type_.name not in OVERVIEW_INSIGHTS:
            return None
        plural, single, rest = Kind.OVERVIEWS, Kind.OVERVIEW, rest[:-1]
    if not rest:
        return Route(plural, type_, mesh)
    if mesh is None or not rest[0]:
        return None
    if len(rest) > 1:
        aspect = aspect_of(type_.name, rest[1:])
        return Route(Kind.ASPECT, type_, mesh, rest[0], aspect) if aspect else None
    return Route(single, type_, mesh, rest[0])


def near(segments: Sequence[str]) -> str:
    """`; did you mean x?` for a path that is no route."""
    if not all(segments):
        return ""  # two slashes in a row: an empty name, which is like no other
    path = "/" + "/".join(segments)
    return suggestion(path, (example for example in _example_paths(segments) if example != path))


def _example_paths(segments: Sequence[str]) -> list[str]:
    """Paths that exist, with the mesh and the name that the caller wrote."""
    below_mesh = segments[0] == _MESHES and len(segments) > 2
    mesh = segments[1] if below_mesh else DEFAULT_MESH
    position = 3 if below_mesh else 1
    tail = "".join(f"/{part}" for part in segments[position:])
    paths = ["/" + "/".join(fixed) for fixed in _FIXED]
    for type_ in TYPES.values():
        paths.append(f"/{_MESHES}/{mesh}/{type_.path}{tail}" if type_.mesh_scoped else f"/{type_.path}{tail}")
    return paths
