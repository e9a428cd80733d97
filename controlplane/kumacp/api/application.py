"""The REST API without a web framework: a request in, an answer out (contract 7.3, 9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from kumacp.api import auth, parameters, problem, token_requests
from kumacp.api.access import Right, require
from kumacp.api.aspects_endpoints import AspectEndpoints, Proxies
from kumacp.api.auth import User
from kumacp.api.authority import Authority
from kumacp.api.cors import Cors
from kumacp.api.exchange import Answer, Request, problem_answer, text_answer
from kumacp.api.insights import InsightEndpoints
from kumacp.api.problem import Problem
from kumacp.api.resources import Aside, Manager, ResourceEndpoints
from kumacp.api.routes import Kind, Route, match, near
from kumacp.api.system import SystemEndpoints
from kumacp.identity.signing_keys import KeyRing, SigningKeyNotFound, TokenKind
from kumacp.mode import role
from kumacp.settings import CpSettings
from kumacp.store.api import Store, StoreUnavailable
from kumamesh.tokens import DataplaneClaims, TokenError, issue
from kumamesh.version import BUILD, PRODUCT

_READ_ONLY = "the REST API of this control plane is read-only (KUMA_API_SERVER_READ_ONLY)"
_NO_TOKENS = "user tokens are not accepted here (KUMA_API_SERVER_AUTHN_TYPE): show a client certificate"
_ZONE_TOKENS_OF_GLOBAL = (
    "the zone has no key to sign zone tokens: make them at the global control plane; they hold here once the"
    " key has been synchronized"
)
_TOKEN_RIGHTS = {
    "dataplane": Right.GENERATE_DP_TOKEN,
    "zone": Right.GENERATE_ZONE_TOKEN,
    "user": Right.GENERATE_USER_TOKEN,
}

KeyRings = Callable[[], Awaitable[KeyRing]]
"""Gives the keys as they are now; read anew for every request that needs them, so that a key made by the
request before is known."""


@dataclass(frozen=True, slots=True)
class InstanceFacts:
    """What this control plane says of itself at `/`."""

    hostname: str
    instance_id: str
    cluster_id: str

    def document(self) -> dict[str, Any]:
        return {
            "hostname": self.hostname,
            "product": PRODUCT,
            # Clients before Kuma 2 look for the name here.
            "tagline": PRODUCT,
            "version": BUILD.version,
            "instanceId": self.instance_id,
            "clusterId": self.cluster_id,
            "gui": "",
        }


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
        proxies: Proxies,
    ) -> None:
        self._settings = settings
        self._key_rings = key_rings
        self._now = now
        self._role = here = role(settings)
        self._authority = Authority(here, settings.disable_origin_label_validation)
        self._resources = ResourceEndpoints(store, manager, aside, self._authority)
        self._insights = InsightEndpoints(store, here)
        self._aspects = AspectEndpoints(settings, store, proxies, aside)
        self._system = SystemEndpoints(settings, store, facts.document(), now, self._authority)
        self._cors = Cors(settings.api_cors_allowed_domains)
        self.tokens_issued: Counter[str] = Counter()
        """By kind."""

    async def handle(self, request: Request) -> Answer:
        try:
            answer = self._preflight(request) or await self._answer(request)
        except Problem as error:
            answer = problem_answer(error)
        except StoreUnavailable as error:
            answer = problem_answer(Problem(503, problem.UNAVAILABLE, str(error)))
        return replace(answer, headers={**answer.headers, **self._cors.headers(request)})

    def _preflight(self, request: Request) -> Answer | None:
        route = match(request.segments)
        return self._cors.preflight(request, route.methods) if route is not None else None

    async def _answer(self, request: Request) -> Answer:
        user = await self._authenticate(request)
        route = match(request.segments)
        if route is None:
            raise problem.not_found("Not Found", f"there is no {request.path}{near(request.segments)}")
        if request.method not in route.methods:
            raise problem.not_allowed(_why_not(route, request.method), route.methods)
        if self._settings.api_read_only and request.method in ("PUT", "DELETE"):
            raise problem.not_allowed(_READ_ONLY, ("GET", "HEAD"))
        if route.type is not None and route.type.admin_only:
            what = f'access the resource of type "{route.type.name}"'
            require(user, Right.ADMIN_RESOURCES, self._settings, what)
        if route.type is not None and request.method in ("PUT", "DELETE"):
            refusal = self._authority.refusal(route.type, route.name)
            if refusal:
                raise problem.not_allowed(refusal, ("GET", "HEAD"))
        parameters.check(request.query, route.parameters(request.method))
        if route.kind is Kind.TOKEN:
            return await self._issue(route.name, request, user)
        if route.type is None:
            return await self._system.answer(route, request, user)
        return await self._operate(route, request, user)

    async def _operate(self, route: Route, request: Request, user: User) -> Answer:
        if route.kind is Kind.LIST:
            return await self._resources.list(route, request)
        if route.kind is Kind.ASPECT:
            return await self._aspects.answer(route, request, user)
        if route.kind is not Kind.ITEM:
            return await self._insights.answer(route, request)
        if request.method == "PUT":
            return await self._resources.put(route, request, user)
        if request.method == "DELETE":
            return await self._resources.delete(route, request, user)
        return await self._resources.get(route, request)

    async def _authenticate(self, request: Request) -> User:
        token = auth.bearer_token(request.headers)
        if token is None:
            return auth.ADMIN if self._is_admin(request) else auth.ANONYMOUS
        if self._settings.api_authn_type != "tokens":
            raise problem.unauthenticated(_NO_TOKENS)
        keys = await self._key_rings()
        try:
            claims = keys.verify_user(token, self._now())
        except TokenError as error:
            raise problem.unauthenticated(str(error)) from None
        return auth.authenticated(claims.name, claims.groups)

    def _is_admin(self, request: Request) -> bool:
        """By what the connection shows; a token is not needed then."""
        if request.certified and not auth.for_other_site(request.scheme, request.headers):
            return True
        local = auth.is_local(request.peer, request.scheme, request.headers)
        return local and self._settings.api_localhost_is_admin

    async def _issue(self, kind: str, request: Request, user: User) -> Answer:
        require(user, _TOKEN_RIGHTS[kind], self._settings)
        self._check_issuer(kind)
        order = token_requests.parse(kind, request.json_object())
        mesh = order.claims.mesh if isinstance(order.claims, DataplaneClaims) else ""
        try:
            key = (await self._key_rings()).latest(TokenKind(kind), mesh)
        except SigningKeyNotFound as error:
            hint = f'; does the mesh "{mesh}" exist?' if mesh else ""
            raise problem.not_found(problem.NO_SIGNING_KEY, f"{error}{hint}") from None
        token = issue(order.claims, key, now=self._now(), valid_for_s=order.valid_for_s)
        self.tokens_issued[kind] += 1
        return text_answer(token)

    def _check_issuer(self, kind: str) -> None:
        settings = self._settings
        if kind == "zone" and self._role.federated:
            raise problem.not_found(problem.ISSUE_TOKEN, _ZONE_TOKENS_OF_GLOBAL)
        enabled = {
            "dataplane": settings.dp_token_issuer,
            "zone": settings.zone_token_issuer,
            "user": settings.user_token_issuer and settings.api_authn_type == "tokens",
        }
        if not enabled[kind]:
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
