"""Reading and writing resources over REST (contract 9.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Protocol

from kumacp.api import problem
from kumacp.api.exchange import Answer, Request, json_answer
from kumacp.api.listing import page_document, parse_filters, parse_page
from kumacp.api.problem import Problem
from kumacp.api.routes import Route
from kumacp.store.api import Conflict, NotFound, Store
from kumamesh.resource import InvalidResource, Resource, ResourceKey
from kumamesh.resources.registry import ResourceType
from kumamesh.resources.rest import from_rest, to_rest

LIGHT_BODY_BYTES = 64 * 1024
"""Read in a few milliseconds; larger resources take up to seconds, in which others must be served."""

Aside = Callable[[Callable[[], Resource]], Awaitable[Resource]]
"""Calls a function outside the event loop."""


class PutOutcome(Protocol):
    """A finished write."""

    @property
    def created(self) -> bool: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class Manager(Protocol):
    """Writes with all rules: kumacp.manager.ResourceManager."""

    async def put(self, resource: Resource) -> PutOutcome:
        """Raises InvalidResource, Conflict, NotFound."""

    async def delete(self, key: ResourceKey) -> None:
        """Raises InvalidResource, NotFound."""


class ResourceEndpoints:
    """CRUD and lists of every type."""

    def __init__(self, store: Store, manager: Manager, aside: Aside) -> None:
        self._store = store
        self._manager = manager
        self._aside = aside

    async def list(self, route: Route, request: Request) -> Answer:
        resources = await list_filtered(self._store, route, request)
        page = parse_page(request.query)
        url = request.origin + request.path
        return json_answer(page_document(resources, page, to_rest, url=url, query=request.query))

    async def get(self, route: Route) -> Answer:
        try:
            return json_answer(to_rest(await self._store.get(key_of(route))))
        except NotFound:
            raise problem.not_found(problem.RETRIEVE) from None

    async def put(self, route: Route, request: Request) -> Answer:
        key = key_of(route)
        body = request.json_object()
        title = await self._put_title(body, key)
        try:
            read = partial(from_rest, body, key=key)
            resource = read() if len(request.body) <= LIGHT_BODY_BYTES else await self._aside(read)
            result = await self._manager.put(resource)
        except InvalidResource as error:
            raise problem.invalid(title, error.violations) from None
        except Conflict as error:
            raise Problem(409, problem.CONFLICT, str(error)) from None
        except NotFound as error:
            raise problem.not_found(title, str(error)) from None
        document = {"warnings": list(result.warnings)} if result.warnings else {}
        return json_answer(document, 201 if result.created else 200)

    async def delete(self, route: Route) -> Answer:
        try:
            await self._manager.delete(key_of(route))
        except NotFound:
            raise problem.not_found(problem.DELETE) from None
        except InvalidResource as error:
            raise problem.invalid(problem.DELETE, error.violations) from None
        except Conflict as error:
            raise Problem(409, problem.CONFLICT, str(error)) from None
        return json_answer({})

    async def _put_title(self, body: Mapping[str, Any], key: ResourceKey) -> str:
        """What the request is about to do, in the words of errors."""
        wanted = {"type": key.type, "mesh": key.mesh, "name": key.name}
        if any(body.get(field) not in (None, value) for field, value in wanted.items()):
            return problem.PROCESS
        try:
            await self._store.get(key)
        except NotFound:
            return problem.CREATE
        return problem.UPDATE


def type_of(route: Route) -> ResourceType:
    """The type of a route that has one."""
    assert route.type is not None
    return route.type


def key_of(route: Route) -> ResourceKey:
    return ResourceKey(type_of(route).name, route.mesh or "", route.name)


async def list_filtered(store: Store, route: Route, request: Request) -> list[Resource]:
    """The resources of the collection that pass the filters; raises Problem 404 for an unknown mesh."""
    type_ = type_of(route)
    filters = parse_filters(request.query, dataplanes=type_.name == "Dataplane")
    await require_mesh(store, route.mesh)
    resources = await store.list(type_.name, route.mesh)
    return [resource for resource in resources if filters.accept(resource)]


async def require_mesh(store: Store, mesh: str | None) -> None:
    """Raise Problem 404 when a mesh is named that does not exist."""
    if not mesh:
        return
    try:
        await store.get(ResourceKey("Mesh", "", mesh))
    except NotFound:
        raise problem.not_found(problem.RETRIEVE_MESH) from None
