"""RBAC filters (contract 5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.type.matcher.v3 import string_pb2

from kumacp.xds.build import matchers
from kumacp.xds.build.filters import network_filter
from kumacp.xds.build.http import http_filter
from kumacp.xds.build.messages import stat_name
from kumacp.xds.model import MatcherRbac, NotAll, Principal, PrincipalPolicy, Rbac, UriMatch

_Principal = rbac_pb2.Principal


def network(policy: Rbac, listener_name: str) -> Any:
    # The dot separates the prefix from `rbac.allowed` in the metric's name.
    config = network_rbac_pb2.RBAC(stat_prefix=f"{stat_name(listener_name)}.", **_decisions(policy))
    return network_filter("rbac", config)


def http(policy: Rbac) -> Any:
    return http_filter("rbac", http_rbac_pb2.RBAC(**_decisions(policy)))


def needs_server_name(policy: Rbac) -> bool:
    return isinstance(policy, MatcherRbac) and any(
        match.server_name
        for rule in policy.rules
        for match in (*rule.deny, *rule.allow, *rule.allow_with_shadow_deny)
    )


def _decisions(policy: Rbac) -> dict[str, Any]:
    """Fields that both RBAC messages have."""
    if isinstance(policy, MatcherRbac):
        return matchers.decisions(policy)
    fields = {"rules": _rules(rbac_pb2.RBAC.ALLOW, policy.allow)}
    if policy.shadow_deny:
        fields["shadow_rules"] = _rules(rbac_pb2.RBAC.DENY, policy.shadow_deny)
    return fields


def _rules(action: Any, policies: Sequence[PrincipalPolicy]) -> Any:
    """Without policies: ALLOW of nothing, which denies everything."""
    return rbac_pb2.RBAC(
        action=action,
        policies={
            policy.name: rbac_pb2.Policy(
                permissions=[rbac_pb2.Permission(any=True)],
                principals=[_principal(principal) for principal in policy.principals],
            )
            for policy in policies
        },
    )


def _principal(principal: Principal) -> Any:
    return _all_of([_literal(item) for item in principal])


def _literal(item: UriMatch | NotAll) -> Any:
    if isinstance(item, NotAll):
        return _Principal(not_id=_all_of([_literal(match) for match in item.matches]))
    name = (
        string_pb2.StringMatcher(prefix=item.value)
        if item.prefix
        else string_pb2.StringMatcher(exact=item.value)
    )
    found = _Principal(authenticated=_Principal.Authenticated(principal_name=name))
    return _Principal(not_id=found) if item.negated else found


def _all_of(principals: Sequence[Any]) -> Any:
    if not principals:
        return _Principal(any=True)
    if len(principals) == 1:
        return principals[0]
    return _Principal(and_ids=_Principal.Set(ids=principals))
