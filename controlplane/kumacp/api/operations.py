"""Every operation of the API with what people must know of it: the table behind OpenAPI and the reference.

Which paths there are, their methods and their parameters is asked of the routes themselves, so that nothing
can be described that does not exist.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from kumacp.api.parameters import Parameter
from kumacp.api.routes import FIXED_PATHS, OVERVIEW_INSIGHTS, Kind, Route, match
from kumamesh.resources.registry import TYPES, ResourceType


class Who(Enum):
    """Who may call an operation, as long as the lists of `access.static` say nothing else."""

    EVERYBODY = "everybody"
    ADMINS = "admins"


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one path. `template` has `{mesh}`, `{name}` or `{kri}` for the parts that vary; `right`
    is the list of `access.static` that decides, "" when everybody may; `also` are older paths that mean the
    same."""

    method: str
    template: str
    route: Route
    summary: str
    statuses: tuple[int, ...]
    right: str = ""
    also: tuple[str, ...] = ()

    @property
    def who(self) -> Who:
        return Who.ADMINS if self.right and self.right not in _OPEN_RIGHTS else Who.EVERYBODY

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return self.route.parameters(self.method)

    @property
    def path_parameters(self) -> tuple[str, ...]:
        parts = self.template.split("/")
        return tuple(part[1:-1] for part in parts if part.startswith("{"))

    @property
    def writes(self) -> bool:
        """Whether it takes a body."""
        return self.method in ("PUT", "POST")


_OPEN_RIGHTS = frozenset({"viewConfigDump", "viewStats", "viewClusters", "controlPlaneMetadata"})
_TOKEN_RIGHTS = {"dataplane": "generateDpToken", "zone": "generateZoneToken", "user": "generateUserToken"}
_ASPECT_RIGHTS = {
    "xds": "viewConfigDump",
    "_config": "viewConfigDump",
    "stats": "viewStats",
    "clusters": "viewClusters",
}
_ASPECTS = {
    "xds": "What the Envoy of this proxy has as its configuration",
    "stats": "Statistics of the Envoy of this proxy",
    "clusters": "Clusters and endpoints of the Envoy of this proxy",
    "_config": "The configuration that the control plane makes for this proxy, without asking its Envoy",
    "policies": "Policies that match the inbounds and outbounds of this proxy",
    "rules": "Rules that policies make for this proxy",
    "_rules": "Rules that policies make for this proxy, by inbound and outbound",
    "_policies": "Policies that match this proxy as a whole",
    "_layout": "Inbounds and outbounds of this proxy with their identifiers",
    "_inbounds/{kri}/_policies": "Policies that match one inbound of this proxy",
    "_outbounds/{kri}/_policies": "Policies that match one outbound of this proxy",
    "dataplanes": "Proxies that this policy matches",
    "_resources/dataplanes": "Proxies that this policy matches, as a list",
}
_SYSTEM = {
    Kind.INDEX: "Which product and version this is",
    Kind.CONFIG: "The configuration of the control plane, without secrets",
    Kind.WHO_AM_I: "The user that this request is taken for",
    Kind.OPENAPI: "This document",
    Kind.POLICIES: "The policy types",
    Kind.RESOURCES: "The resource types",
    Kind.VERSIONS: "Which versions of kuma-dp and Envoy may connect",
    Kind.GLOBAL_INSIGHT: "Figures over all meshes",
    Kind.GLOBAL_INSIGHTS: "Numbers of resources that belong to no mesh",
    Kind.ZONE_STATUS: "Which zones are connected; empty on a control plane that has none",
    Kind.KRI: "The resource with this identifier",
}


def operations() -> tuple[Operation, ...]:
    """All operations, in the order in which people look for them."""
    return tuple(operation for template in _templates() for operation in _of(template))


def _templates() -> Iterator[str]:
    for parts in FIXED_PATHS:
        if parts != ("tokens",):
            yield "/" + "/".join(parts)
    yield "/_kri/{kri}"
    for type_ in TYPES.values():
        yield from _templates_of(type_)


def _templates_of(type_: ResourceType) -> Iterator[str]:
    collection = f"/meshes/{{mesh}}/{type_.path}" if type_.mesh_scoped else f"/{type_.path}"
    everywhere = [f"/{type_.path}"] if type_.mesh_scoped else []
    item = f"{collection}/{{name}}"
    yield from (*everywhere, collection, item)
    if type_.name in OVERVIEW_INSIGHTS:
        yield from (f"{path}/_overview" for path in (*everywhere, collection, item))
    for aspect in _ASPECTS:
        template = f"{item}/{aspect}"
        route = _route(template)
        if route is not None and route.kind is Kind.ASPECT:
            yield template


def _route(template: str) -> Route | None:
    return match(tuple(template.strip("/").split("/")) if template != "/" else ())


def _of(template: str) -> Iterator[Operation]:
    route = _route(template)
    assert route is not None, template
    for method in route.methods:
        if method != "HEAD":
            yield Operation(
                method,
                template,
                route,
                _summary(method, route),
                _statuses(method, route),
                _right(route),
                _also(template, route),
            )


def _summary(method: str, route: Route) -> str:
    if route.type is None:
        return f"Make a {route.name} token" if route.kind is Kind.TOKEN else _SYSTEM[route.kind]
    name = route.type.name
    where = " of all meshes" if route.mesh is None else " of the mesh" if route.type.mesh_scoped else ""
    match route.kind:
        case Kind.OVERVIEWS:
            return f"{name} resources{where}, each with its insight"
        case Kind.OVERVIEW:
            return f"One {name} with its insight"
        case Kind.SERVICE_INSIGHTS:
            return f"The state of the services{where}"
        case Kind.SERVICE_INSIGHT:
            return "The state of one service, or of all with the name `all-services-<mesh>`"
        case Kind.ASPECT:
            return _ASPECTS[route.aspect]
        case Kind.LIST | Kind.MESH_INSIGHTS:
            return f"{name} resources{where}"
    verbs = {"GET": "Read", "PUT": "Create or replace", "DELETE": "Delete"}
    return f"{verbs[method]} one {name}"


def _statuses(method: str, route: Route) -> tuple[int, ...]:
    """What can be answered; 401 and 503 always can."""
    found = {200, 400, 401, 503}
    if _right(route):
        found.add(403)
    named = route.kind in (Kind.ITEM, Kind.OVERVIEW, Kind.SERVICE_INSIGHT, Kind.MESH_INSIGHT, Kind.ASPECT)
    if named or route.kind in (Kind.TOKEN, Kind.KRI) or route.mesh == "{mesh}":
        found.add(404)
    if method in ("PUT", "POST"):
        found |= {408, 413, 415}
    if method == "PUT":
        found.add(201)
    if method == "GET" and route.kind in (Kind.ITEM, Kind.KRI):
        found.add(304)
    if method in ("PUT", "DELETE"):
        found |= {405, 409}
    return tuple(sorted(found))


def _right(route: Route) -> str:
    if route.kind is Kind.TOKEN:
        return _TOKEN_RIGHTS[route.name]
    if route.kind is Kind.CONFIG:
        return "controlPlaneMetadata"
    if route.kind is Kind.ASPECT and route.aspect in _ASPECT_RIGHTS:
        return _ASPECT_RIGHTS[route.aspect]
    return "adminResources" if route.type is not None and route.type.admin_only else ""


def _also(template: str, route: Route) -> tuple[str, ...]:
    """Older names of the path."""
    if route.type is None:
        return ("/tokens",) if template == "/tokens/dataplane" else ()
    path = f"/{route.type.path}"
    found = [template.replace(path, f"/{alias}", 1) for alias in route.type.path_aliases]
    if route.aspect == "_resources/dataplanes":
        found.append(template.replace("/_resources/", "/-resources/"))
    if route.kind in (Kind.OVERVIEWS, Kind.OVERVIEW):
        legacy = template.removesuffix("/_overview").replace(path, f"{path}+insights", 1)
        found.append(legacy)
        if route.type.name == "ZoneEgress":
            found.append(legacy.replace(f"{path}+insights", "/zoneegressoverviews", 1))
    return tuple(found)
