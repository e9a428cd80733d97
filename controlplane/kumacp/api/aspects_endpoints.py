"""What is asked of one resource beyond its body: its Envoy, configuration, policies (contract 9.4)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

from kumacp.api import inspect_layout, inspect_policies, inspect_rules, problem
from kumacp.api.access import Right, require
from kumacp.api.aspects import section_of
from kumacp.api.auth import User
from kumacp.api.exchange import Answer, Request, json_answer
from kumacp.api.inspect_config import Configuration, ShadowPermission, config_document
from kumacp.api.inspect_policies import PolicyMatcher
from kumacp.api.listing import page_document, parse_filters, parse_page
from kumacp.api.problem import BAD_REQUEST, UNAVAILABLE, Problem
from kumacp.api.resources import Aside, key_of, require_mesh
from kumacp.api.routes import Route
from kumacp.envoyadmin import question
from kumacp.envoyadmin.question import ProxyUnavailable, Question, QuestionRefused, Reply
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumacp.xds.sidecar import InboundRbac
from kumamesh.names import ZONE_LABEL
from kumamesh.resource import Resource, ResourceKey

Document = dict[str, Any]

_TRUE, _FALSE = ("1", "t", "T", "true", "TRUE", "True"), ("0", "f", "F", "false", "FALSE", "False")
_RIGHTS: Mapping[str, Right] = {
    "xds": Right.VIEW_CONFIG_DUMP,
    "_config": Right.VIEW_CONFIG_DUMP,
    "stats": Right.VIEW_STATS,
    "clusters": Right.VIEW_CLUSTERS,
}


class Proxies(Protocol):
    """Connected proxies: kumacp.envoyadmin.proxies_driver."""

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        """Raises ProxyUnavailable, QuestionRefused."""

    def configuration(self, proxy: ResourceKey, permission: InboundRbac | None = None) -> Configuration:
        """Raises ProxyUnavailable."""


class NoProxies:
    """Of a control plane that serves none."""

    async def ask(self, proxy: Resource, question: Question) -> Reply:
        raise _NOT_SERVED

    def configuration(self, proxy: ResourceKey, permission: InboundRbac | None = None) -> Configuration:
        raise _NOT_SERVED


_NOT_SERVED = ProxyUnavailable("this control plane serves no proxies: ask the one of its zone")


class AspectEndpoints:
    """Everything below an item."""

    def __init__(self, settings: CpSettings, store: Store, proxies: Proxies, aside: Aside) -> None:
        self._settings = settings
        self._store = store
        self._proxies = proxies
        self._aside = aside

    async def answer(self, route: Route, request: Request, user: User) -> Answer:
        right = _RIGHTS.get(route.aspect)
        if right is not None:
            require(user, right, self._settings)
        wanted = _question(route.aspect, request)
        await require_mesh(self._store, route.mesh)
        try:
            resource = await self._store.get(key_of(route))
        except NotFound:
            raise problem.not_found(problem.RETRIEVE) from None
        if wanted is not None:
            return await self._ask(resource, wanted)
        if route.aspect == "_config":
            return await self._config(resource.key, request)
        if resource.type == "Dataplane":
            return json_answer(await self._inspect(resource, route.aspect))
        if route.aspect == "dataplanes":
            return json_answer(await self._affected(resource, request))
        return json_answer(await self._selected(resource, request))

    async def _ask(self, proxy: Resource, wanted: Question) -> Answer:
        try:
            reply = await self._proxies.ask(proxy, wanted)
        except ProxyUnavailable as error:
            raise _unavailable(proxy.key, error) from None
        except QuestionRefused as error:
            raise Problem(400, BAD_REQUEST, f"Envoy does not understand the question: {error}") from None
        return Answer(200, reply.body, reply.content_type)

    async def _config(self, proxy: ResourceKey, request: Request) -> Answer:
        shadow, diff = _flag(request, "shadow"), _includes_diff(request)
        try:
            wanted = self._proxies.configuration(proxy, ShadowPermission() if shadow else None)
            present = self._proxies.configuration(proxy) if diff else None
        except ProxyUnavailable as error:
            raise _unavailable(proxy, error) from None
        return json_answer(await self._aside(partial(config_document, wanted, present)))

    async def _inspect(self, dataplane: Resource, aspect: str) -> Document:
        if aspect == "_layout":
            others = await self._store.list("Dataplane", dataplane.mesh)
            zone = dataplane.labels.get(ZONE_LABEL, self._settings.zone_name)
            protocols = inspect_layout.service_protocols(others, zone)
            return inspect_layout.layout_document(dataplane, protocols)
        if aspect == "_policies":  # of the proxy as a whole; permissions are of inbounds
            return {"policies": []}
        section = section_of(aspect)
        if section is not None and section[0] == "_outbounds":
            return _outbound_policies(section[1])
        matcher = await self._matcher(dataplane.mesh)
        if section is not None:
            return _inbound_policies(dataplane, section[1], matcher)
        if aspect == "policies":
            return inspect_policies.policies_document(dataplane, matcher)
        if aspect == "rules":
            return inspect_rules.attachments_document(dataplane, matcher)
        mesh = await self._store.get(ResourceKey("Mesh", "", dataplane.mesh))
        mtls = mesh.spec.enabled_backend is not None
        return inspect_rules.rules_document(dataplane, matcher, mtls=mtls)

    async def _affected(self, policy: Resource, request: Request) -> Document:
        """All of them, unless a page is asked for: clients of this form know no pages."""
        matcher = await self._matcher(policy.mesh)
        name = parse_filters(request.query, dataplanes=False).name
        items = [
            item
            for dataplane in await self._store.list("Dataplane", policy.mesh)
            if name in dataplane.name
            and (item := inspect_policies.affected(policy, dataplane, matcher)) is not None
        ]
        if any(key in ("size", "offset") for key, _ in request.query):
            return page_document(
                items, parse_page(request.query), _same, url=request.url, query=request.query
            )
        return {"total": len(items), "items": items}

    async def _selected(self, policy: Resource, request: Request) -> Document:
        name = parse_filters(request.query, dataplanes=False).name
        selected = [
            dataplane
            for dataplane in await self._store.list("Dataplane", policy.mesh)
            if name in dataplane.name and inspect_policies.is_selected(policy, dataplane)
        ]
        page = parse_page(request.query)
        return page_document(selected, page, inspect_policies.meta, url=request.url, query=request.query)

    async def _matcher(self, mesh: str) -> PolicyMatcher:
        legacy = await self._store.list("TrafficPermission", mesh)
        return PolicyMatcher(mesh, legacy, await self._store.list("MeshTrafficPermission", mesh))


def _question(aspect: str, request: Request) -> Question | None:
    """What Envoy is asked, None when it is not about Envoy; raises Problem 400."""
    match aspect:
        case "xds":
            return question.config_dump(include_eds=_flag(request, "include_eds"))
        case "stats":
            filter_ = dict(request.query).get("filter", "")
            if len(filter_) > question.MAX_FILTER_CHARS:
                most = question.MAX_FILTER_CHARS
                raise Problem(
                    400, BAD_REQUEST, f'the query parameter "filter" has more than {most} characters'
                )
            used_only = _flag(request, "usedonly", default=True)
            return question.stats(used_only=used_only, as_json=_wants_json(request), filter_=filter_)
        case "clusters":
            return question.clusters(as_json=_wants_json(request))
    return None


def _inbound_policies(dataplane: Resource, kri: str, matcher: PolicyMatcher) -> Document:
    try:
        inbound = inspect_layout.inbound_of_kri(dataplane, kri)
    except inspect_layout.NoIdentifier as error:
        raise Problem(400, BAD_REQUEST, f"Invalid inbound KRI: {error}") from None
    for matched in matcher.of(dataplane):
        if matched.inbound is inbound:
            return inspect_rules.inbound_policies_document(matched)
    raise problem.not_found(problem.RETRIEVE, "the Dataplane has no inbound with this identifier")


def _outbound_policies(kri: str) -> Document:
    """None of the policy types is about outbounds."""
    try:
        inspect_layout.check_outbound_kri(kri)
    except inspect_layout.NoIdentifier as error:
        raise Problem(400, BAD_REQUEST, f"Invalid outbound KRI: {error}") from None
    return {"policies": []}


def _unavailable(proxy: ResourceKey, error: ProxyUnavailable) -> Problem:
    return Problem(503, UNAVAILABLE, f'{proxy.type} "{proxy.name}": {error}')


def _flag(request: Request, name: str, *, default: bool = False) -> bool:
    value = dict(request.query).get(name)
    if value is None:
        return default
    # A name alone, as Envoy's admin takes it, switches on.
    if value in _TRUE or value == "":
        return True
    if value in _FALSE:
        return False
    raise Problem(400, BAD_REQUEST, f'the query parameter "{name}" must be true or false')


def _wants_json(request: Request) -> bool:
    value = dict(request.query).get("format", "text")
    if value not in ("json", "text"):
        raise Problem(400, BAD_REQUEST, 'the query parameter "format" must be json or text')
    return value == "json"


def _includes_diff(request: Request) -> bool:
    value = dict(request.query).get("include", "")
    if any(part != "diff" for part in value.split(",") if value):
        raise Problem(400, BAD_REQUEST, 'the query parameter "include" must be diff')
    return bool(value)


def _same(item: Document) -> Document:
    return item
