"""What can be asked of the control plane as a whole: its version, types, users, figures (contract 9.1)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from kumacp.api import descriptions, problem
from kumacp.api.access import Right, require
from kumacp.api.auth import User
from kumacp.api.authority import Authority
from kumacp.api.exchange import Answer, Request, json_answer
from kumacp.api.global_insight import global_insight, global_insights, zone_statuses
from kumacp.api.openapi import document as openapi_document
from kumacp.api.problem import Problem
from kumacp.api.resources import item_answer
from kumacp.api.routes import Kind, Route
from kumacp.kds.at_zone.trust import CLUSTER_ID
from kumacp.settings import CpSettings
from kumacp.store.api import NotFound, Store
from kumamesh import settings as settings_document
from kumamesh.kri import find_by_kri, type_of_kri
from kumamesh.resource import ResourceKey
from kumamesh.resources.base import format_time
from kumamesh.resources.registry import TYPES, ResourceType

Document = dict[str, Any]


class SystemEndpoints:
    """Paths that belong to no type of resource; `index` is the document at `/`."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        index: Document,
        now: Callable[[], float],
        authority: Authority,
    ) -> None:
        self._authority = authority
        self._settings = settings
        self._store = store
        self._index = index
        self._now = now
        self._openapi: Document | None = None

    async def answer(self, route: Route, request: Request, user: User) -> Answer:
        match route.kind:
            case Kind.INDEX:
                return json_answer({**self._index, **await self._cluster()})
            case Kind.KRI:
                return await self._by_kri(route.name, request)
            case Kind.GLOBAL_INSIGHT:
                return json_answer(global_insight(await self._everything(), self._time()))
            case Kind.GLOBAL_INSIGHTS:
                return json_answer(global_insights(await self._everything(), self._time()))
            case Kind.ZONE_STATUS:
                return json_answer(zone_statuses(await self._everything()))
            case Kind.CONFIG:
                require(user, Right.CONTROL_PLANE_METADATA, self._settings)
                return json_answer(settings_document.dump(self._settings))
        return json_answer(self._fixed(route.kind, user))

    def _fixed(self, kind: Kind, user: User) -> Document:
        """Documents for which nothing is read."""
        match kind:
            case Kind.POLICIES:
                return descriptions.policies(self._writes)
            case Kind.RESOURCES:
                return descriptions.resources(self._writes)
            case Kind.VERSIONS:
                return descriptions.versions()
            case Kind.OPENAPI:
                if self._openapi is None:
                    self._openapi = openapi_document()
                return self._openapi
        return {"name": user.name, "groups": list(user.groups)}

    async def _cluster(self) -> Document:
        """Whose control plane this is, where a global one has said so; zones bear the id of theirs."""
        try:
            stored = await self._store.get(ResourceKey("Config", "", CLUSTER_ID))
        except NotFound:
            return {}
        return {"clusterId": stored.spec.config}

    def _writes(self, type_: ResourceType) -> bool:
        return self._authority.writes(type_) and not self._settings.api_read_only

    async def _by_kri(self, kri: str, request: Request) -> Answer:
        try:
            type_ = type_of_kri(kri)
        except ValueError as error:
            raise Problem(400, problem.PARSE_KRI, str(error)) from None
        resource = find_by_kri(kri, await self._store.list(type_.name))
        if resource is None:
            raise problem.not_found(problem.RETRIEVE)
        return item_answer(resource, request)

    async def _everything(self) -> dict[str, Any]:
        return {name: await self._store.list(name) for name in TYPES}

    def _time(self) -> str:
        return format_time(datetime.fromtimestamp(self._now(), UTC))
