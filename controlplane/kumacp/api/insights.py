"""Overviews, and the insights that are computed when somebody asks (contract 9.3, 9.4; kuma-cp 2.13)."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Any

from kumacp.api import problem
from kumacp.api.exchange import Answer, Request, json_answer
from kumacp.api.listing import page_document, parse_filters, parse_page
from kumacp.api.pages import page_answer
from kumacp.api.resources import key_of, list_filtered, require_mesh, type_of
from kumacp.api.routes import OVERVIEW_INSIGHTS, Kind, Route
from kumacp.insights import (
    as_seen_in,
    mesh_insight,
    overview,
    service_insight_name,
    service_insights,
)
from kumacp.mode import Role
from kumacp.services import service_insight
from kumacp.store.api import NotFound, Store
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import ServiceInsight
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import to_shown

Document = dict[str, Any]


class InsightEndpoints:
    """Everything below `_overview`, `service-insights` and `mesh-insights`."""

    def __init__(self, store: Store, role: Role) -> None:
        self._store = store
        self._role = role

    async def answer(self, route: Route, request: Request) -> Answer:
        match route.kind:
            case Kind.OVERVIEWS:
                return await self._overviews(route, request)
            case Kind.OVERVIEW:
                return json_answer(await self._overview(route))
            case Kind.SERVICE_INSIGHTS:
                return await self._services(route, request)
            case Kind.SERVICE_INSIGHT:
                return json_answer(await self._service(route))
            case Kind.MESH_INSIGHTS:
                return self._page(await self._meshes(), request)
        return json_answer(self._named(await self._meshes(route.name), route.name))

    async def _overviews(self, route: Route, request: Request) -> Answer:
        resources = await list_filtered(self._store, route, request)
        insights = await self._store.list(OVERVIEW_INSIGHTS[type_of(route).name], route.mesh)
        by_key = {(insight.mesh, insight.name): insight for insight in insights}

        def show(resource: Resource) -> Document:
            return overview(resource, by_key.get((resource.mesh, resource.name)))

        page = parse_page(request.query)
        return await page_answer(resources, page, show, url=request.url, query=request.query)

    async def _overview(self, route: Route) -> Document:
        key = key_of(route)
        try:
            resource = await self._store.get(key)
        except NotFound:
            raise problem.not_found(problem.RETRIEVE) from None
        try:
            insight = await self._store.get(ResourceKey(OVERVIEW_INSIGHTS[key.type], key.mesh, key.name))
        except NotFound:
            return overview(resource, None)
        return overview(resource, insight)

    async def _services(self, route: Route, request: Request) -> Answer:
        await require_mesh(self._store, route.mesh)
        meshes = [route.mesh] if route.mesh else [m.name for m in await self._store.list("Mesh")]
        items = [item for mesh in meshes for item in service_insights(mesh, await self._insight(mesh))]
        kind = dict(request.query).get("type", "")
        return self._page([item for item in items if kind in ("", item["serviceType"])], request)

    async def _service(self, route: Route) -> Document:
        mesh = route.mesh or ""
        await require_mesh(self._store, mesh)
        insight = await self._insight(mesh)
        if route.name == service_insight_name(mesh):
            return to_shown(Resource(key_of(route), insight))
        return self._named(service_insights(mesh, insight), route.name)

    async def _insight(self, mesh: str) -> ServiceInsight:
        """The services of the mesh, in a federated zone those of other zones, too."""
        own = service_insight(*await self._proxies(mesh))
        if not self._role.federated:
            return own
        told = await self._store.list("ServiceInsight", mesh)
        return as_seen_in(self._role.zone, own, told[0].spec) if told else own

    async def _meshes(self, name: str = "") -> list[Document]:
        """Insights of all meshes, or of the one with the name, if it exists."""
        meshes = [mesh.name for mesh in await self._store.list("Mesh") if name in ("", mesh.name)]
        counts: dict[str, Counter[str]] = defaultdict(Counter)
        for type_ in TYPES.values():
            if type_.mesh_scoped and not type_.read_only:
                for resource in await self._store.list(type_.name, name or None):
                    counts[resource.mesh][type_.name] += 1
        return [
            to_shown(
                Resource(
                    ResourceKey("MeshInsight", "", mesh),
                    mesh_insight(*await self._proxies(mesh), counts=counts[mesh]),
                )
            )
            for mesh in meshes
        ]

    async def _proxies(self, mesh: str) -> tuple[list[Resource], list[Resource], list[Resource]]:
        """Dataplanes of the mesh, their insights, and the services outside of it."""
        dataplanes = await self._store.list("Dataplane", mesh)
        insights = await self._store.list("DataplaneInsight", mesh)
        return dataplanes, insights, await self._store.list("ExternalService", mesh)

    @staticmethod
    def _page(items: list[Document], request: Request) -> Answer:
        filters = parse_filters(request.query, dataplanes=False)
        kept = [item for item in items if filters.name in item["name"]]
        return json_answer(
            page_document(
                kept, parse_page(request.query), lambda item: item, url=request.url, query=request.query
            )
        )

    @staticmethod
    def _named(items: list[Document], name: str) -> Document:
        for item in items:
            if item["name"] == name:
                return item
        raise problem.not_found(problem.RETRIEVE)
