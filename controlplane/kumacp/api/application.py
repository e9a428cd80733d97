"""The REST API without a web framework: a request in, an answer out (contract 7.3, 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from kumacp.api import auth, problem, token_requests
from kumacp.api.auth import User
from kumacp.api.exchange import Answer, Request, json_answer, problem_answer, text_answer
from kumacp.api.insights import InsightEndpoints
from kumacp.api.problem import Problem
from kumacp.api.resources import Aside, Manager, ResourceEndpoints
from kumacp.api.routes import Kind, Route, match, near
from kumacp.identity.signing_keys import KeyRing, SigningKeyNotFound, TokenKind
from kumacp.settings import CpSettings
from kumacp.store.api import Store, StoreUnavailable
from kumamesh import settings as settings_document
from kumamesh.tokens import DataplaneClaims, TokenError, issue
from kumamesh.version import BUILD, PRODUCT

KeyRings = Callable[[], Awaitable[KeyRing]]
"""Gives the keys as they are now; read anew for every request that needs them, so that a key made by the
request before is known."""


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What this control plane says of itself at `/`."""

    hostname: str
    instance_id: str
    cluster_id: str


class Application:
    """Authenticates, finds the operation, and turns what goes wrong into Kuma's error documents."""

    def __init__(
        self,
        settings: CpSettings,
        store: Store,
        manager: Manager,
        key_rings: KeyRings,
        facts: InstanceFacts,
        *,
        now: Callable[[], float],
        aside: Aside,
    ) -> None:
        self._settings = settings
        self._key_rings = key_rings
        self._facts = facts
        self._now = now
        self._resources = ResourceEndpoints(store, manager, aside)
        self._insights = InsightEndpoints(store)
        self.requests: dict[str, int] = {}
        """Answered requests by status."""

    async def handle(self, request: Request) -> Answer:
        try:
            answer = await self._answer(request)
        except Problem as error:
            answer = problem_answer(error)
        except StoreUnavailable as error:
            answer = problem_answer(Problem(503, problem.UNAVAILABLE, str(error)))
        status = str(answer.status)
        self.requests[status] = self.requests.get(status, 0) + 1
        return answer

    async def _answer(self, request: Request) -> Answer:
        user = await self._authenticate(request)
        route = match(request.segments)
        if route is None:
            raise problem.not_found("Not Found", f"there is no {request.path}{near(request.segments)}")
        if request.method not in route.methods:
            raise problem.not_allowed(_why_not(route, request.method), route.methods)
        if route.type is not None:
            auth.check_resource_access(user, route.type)
            return await self._operate(route, request)
        return await self._other(route, request, user)

    async def _operate(self, route: Route, request: Request) -> Answer:
        if route.kind is Kind.LIST:
            return await self._resources.list(route, request)
        if route.kind is not Kind.ITEM:
            return await self._insights.answer(route, request)
        if request.method == "PUT":
            return await self._resources.put(route, request)
        if request.method == "DELETE":
            return await self._resources.delete(route)
        return await self._resources.get(route)

    async def _other(self, route: Route, request: Request, user: User) -> Answer:
        if route.kind is Kind.TOKEN:
            return await self._issue(route.name, request, user)
        if route.kind is Kind.CONFIG:
            return json_answer(settings_document.dump(self._settings))
        if route.kind is Kind.WHO_AM_I:
            return json_answer({"name": user.name, "groups": list(user.groups)})
        return json_answer(
            {
                "hostname": self._facts.hostname,
                "product": PRODUCT,
                # Clients before Kuma 2 look for the name here.
                "tagline": PRODUCT,
                "version": BUILD.version,
                "instanceId": self._facts.instance_id,
                "clusterId": self._facts.cluster_id,
                "gui": "",
            }
        )

    async def _authenticate(self, request: Request) -> User:
        token = auth.bearer_token(request.headers)
        if token is None:
            local = auth.is_local(request.peer, request.origin.partition(":")[0], request.headers)
            return auth.ADMIN if local and self._settings.api_localhost_is_admin else auth.ANONYMOUS
        keys = await self._key_rings()
        try:
            claims = keys.verify_user(token, self._now())
        except TokenError as error:
            raise problem.unauthenticated(str(error)) from None
        return auth.authenticated(claims.name, claims.groups)

    async def _issue(self, kind: str, request: Request, user: User) -> Answer:
        auth.check_token_access(user, kind)
        self._check_issuer(kind)
        order = token_requests.parse(kind, request.json_object())
        mesh = order.claims.mesh if isinstance(order.claims, DataplaneClaims) else ""
        try:
            key = (await self._key_rings()).latest(TokenKind(kind), mesh)
        except SigningKeyNotFound as error:
            hint = f'; does the mesh "{mesh}" exist?' if mesh else ""
            raise problem.not_found(problem.NO_SIGNING_KEY, f"{error}{hint}") from None
        return text_answer(issue(order.claims, key, now=self._now(), valid_for_s=order.valid_for_s))

    def _check_issuer(self, kind: str) -> None:
        enabled = {"dataplane": self._settings.dp_token_issuer, "zone": self._settings.zone_token_issuer}
        if not enabled.get(kind, True):
            raise problem.not_found(
                problem.ISSUE_TOKEN,
                f"this control plane does not issue {kind} tokens; sign them offline (--signing-key-path)",
            )


def _why_not(route: Route, method: str) -> str:
    if route.kind is Kind.TOKEN:
        return "a token is made by POST"
    if route.type is not None and route.type.read_only:
        return f"{route.type.name} is read-only: the control plane writes it"
    return f"{method} is not possible on this path"
