"""Reading and writing resources over REST (contract 9.2)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar

from kumacp.api import problem
from kumacp.api.auth import User
from kumacp.api.authority import Authority
from kumacp.api.conditions import etag, etag_headers, parse_if_match, unchanged
from kumacp.api.exchange import Answer, Request, json_answer
from kumacp.api.listing import parse_filters, parse_page
from kumacp.api.pages import page_answer
from kumacp.api.problem import Problem
from kumacp.api.routes import Route
from kumacp.store.api import Conflict, NotFound, Store
from kumamesh.resource import InvalidResource, Resource, ResourceKey, Violation
from kumamesh.resources.registry import ResourceType
from kumamesh.resources.rest import from_rest, to_kubernetes, to_shown

_log = logging.getLogger(__name__)

LIGHT_BODY_BYTES = 64 * 1024
"""Read in a few milliseconds; larger resources take up to seconds, in which others must be served."""

T = TypeVar("T")


class Aside(Protocol):
    """Calls a function outside the event loop."""

    def __call__(self, function: Callable[[], T]) -> Awaitable[T]: ...


class PutOutcome(Protocol):
    """A finished write."""

    @property
    def resource(self) -> Resource: ...

    @property
    def created(self) -> bool: ...

    @property
    def warnings(self) -> tuple[str, ...]: ...


class Manager(Protocol):
    """Writes with all rules: kumacp.manager.ResourceManager."""

    async def put(self, resource: Resource) -> PutOutcome:
        """Raises InvalidResource, Conflict, NotFound."""

    async def delete(self, key: ResourceKey, *, version: int = 0) -> None:
        """Raises InvalidResource, Conflict, NotFound."""


class ResourceEndpoints:
    """CRUD and lists of every type."""

    def __init__(self, store: Store, manager: Manager, aside: Aside, authority: Authority) -> None:
        self._store = store
        self._manager = manager
        self._aside = aside
        self._authority = authority

    async def list(self, route: Route, request: Request) -> Answer:
        resources = await list_filtered(self._store, route, request)
        page = parse_page(request.query)
        return await page_answer(resources, page, to_shown, url=request.url, query=request.query)

    async def get(self, route: Route, request: Request) -> Answer:
        try:
            return item_answer(await self._store.get(key_of(route)), request)
        except NotFound:
            raise problem.not_found(problem.RETRIEVE) from None

    async def put(self, route: Route, request: Request, user: User) -> Answer:
        key = key_of(route)
        present = await self._present(key)
        version = _wanted_version(key, present, request)
        body = await self._read(request, request.json_object)
        title = _put_title(body, key, present)
        try:
            resource = await self._read(request, partial(from_rest, body, key=key))
            result = await self._manager.put(replace(resource, version=version))
        except InvalidResource as error:
            raise problem.invalid(title, error.violations) from None
        except Conflict as error:
            raise Problem(409, problem.CONFLICT, str(error)) from None
        except NotFound as error:
            if version:
                raise Problem(409, problem.CONFLICT, f"{error}; it was deleted") from None
            raise problem.not_found(title, str(error)) from None
        _tell("a resource was created" if result.created else "a resource was updated", key, user)
        document = {"warnings": list(result.warnings)} if result.warnings else {}
        return json_answer(document, 201 if result.created else 200, etag_headers(result.resource))

    async def delete(self, route: Route, request: Request, user: User) -> Answer:
        key = key_of(route)
        try:
            present = await self._present(key)
            await self._manager.delete(key, version=_wanted_version(key, present, request))
        except NotFound:
            raise problem.not_found(problem.DELETE) from None
        except InvalidResource as error:
            raise problem.invalid(problem.DELETE, error.violations) from None
        except Conflict as error:
            raise Problem(409, problem.CONFLICT, str(error)) from None
        _tell("a resource was deleted", key, user)
        return json_answer({})

    async def _present(self, key: ResourceKey) -> Resource | None:
        """What is stored now; raises Problem 405 when it belongs to another control plane."""
        try:
            present = await self._store.get(key)
        except NotFound:
            return None
        refusal = self._authority.refusal_to_replace(present)
        if refusal:
            raise problem.not_allowed(refusal, ("GET", "HEAD"))
        return present

    async def _read(self, request: Request, read: Callable[[], T]) -> T:
        return read() if len(request.body) <= LIGHT_BODY_BYTES else await self._aside(read)


def _wanted_version(key: ResourceKey, present: Resource | None, request: Request) -> int:
    """The version that the request is about, 0 for any; raises Problem when it is not there."""
    condition = request.headers.get("if-match")
    if condition is None:
        return 0
    wanted = parse_if_match(condition)
    if present is None:
        raise Problem(409, problem.CONFLICT, f"{NotFound(key)}; without If-Match it would be created")
    if wanted is not None and etag(present) not in wanted:
        raise Problem(409, problem.CONFLICT, str(Conflict(key)))
    return present.version


def _put_title(body: Mapping[str, Any], key: ResourceKey, present: Resource | None) -> str:
    """What the request is about to do, in the words of errors."""
    wanted = {"type": key.type, "mesh": key.mesh, "name": key.name}
    if any(body.get(field) not in (None, value) for field, value in wanted.items()):
        return problem.PROCESS
    return problem.CREATE if present is None else problem.UPDATE


def item_answer(resource: Resource, request: Request) -> Answer:
    """One resource in the shape that is asked for; raises Problem 400."""
    query = dict(request.query)
    wanted = query.get("format", "")
    if wanted in ("", "universal"):
        document = to_shown(resource)
    elif wanted in ("kubernetes", "k8s"):
        document = to_kubernetes(resource, query.get("namespace", ""))
    else:
        text = "must be one of: universal, kubernetes, k8s"
        raise problem.invalid(problem.FORMAT, [Violation("format", text)])
    return unchanged(resource, request) or json_answer(document, headers=etag_headers(resource))


def _tell(event: str, key: ResourceKey, user: User) -> None:
    """One line for each write, without what was written: a secret may be in it."""
    place = {"mesh": key.mesh} if key.mesh else {}
    _log.info("%s", event, extra={"type": key.type, **place, "resource": key.name, "user": user.printable})


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
    return [resource for resource in resources if filters.accept(resource)] if filters else resources


async def require_mesh(store: Store, mesh: str | None) -> None:
    """Raise Problem 404 when a mesh is named that does not exist."""
    if not mesh:
        return
    try:
        await store.get(ResourceKey("Mesh", "", mesh))
    except NotFound:
        raise problem.not_found(problem.RETRIEVE_MESH) from None
