"""RBAC by matchers, for MeshTrafficPermissions of the `rules` form (contract 5.6).

Every deny stands before every allow, of whatever policy: what an operator denies, nobody can allow again.
Kuma alternates them policy by policy, which makes the outcome depend on the order of policies.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from envoy.config.rbac.v3 import rbac_pb2
from envoy.extensions.matching.common_inputs.network.v3 import network_inputs_pb2
from envoy.extensions.matching.common_inputs.ssl.v3 import ssl_inputs_pb2
from xds.core.v3 import extension_pb2
from xds.type.matcher.v3 import matcher_pb2, regex_pb2, string_pb2

from kumacp.xds.build.messages import pack
from kumacp.xds.model import MatcherRbac, NotAll, Principal, PrincipalPolicy, UriMatch

_List = matcher_pb2.Matcher.MatcherList
_Predicate = _List.Predicate
_ALLOW, _DENY = rbac_pb2.RBAC.ALLOW, rbac_pb2.RBAC.DENY


def decisions(policy: MatcherRbac) -> dict[str, Any]:
    """`matcher`, and `shadow_matcher` if something is shadow denied."""
    rules = policy.rules
    denied = [*_by_rule(_DENY, ((rule.name, rule.deny) for rule in rules)), *_by_policy(_DENY, policy.deny)]
    allowed = [
        *_by_rule(_ALLOW, ((rule.name, rule.allow + rule.allow_with_shadow_deny) for rule in rules)),
        *_by_policy(_ALLOW, policy.allow),
    ]
    shadow = [
        *_by_rule(_DENY, ((rule.name, rule.allow_with_shadow_deny) for rule in rules)),
        *_by_policy(_DENY, policy.shadow_deny),
    ]
    fields = {"matcher": _matcher([*denied, *allowed], _DENY)}
    if shadow:
        # No match is no shadow denial: only what was asked for is counted.
        fields["shadow_matcher"] = _matcher(shadow, _ALLOW)
    return fields


def _matcher(matchers: Sequence[Any], otherwise: Any) -> Any:
    """An empty list of matchers is not legal, only what happens without a match."""
    return matcher_pb2.Matcher(
        matcher_list=_List(matchers=matchers) if matchers else None,
        on_no_match=_action(otherwise, "default"),
    )


def _by_rule(action: Any, rules: Iterable[tuple[str, tuple[UriMatch, ...]]]) -> list[Any]:
    return [
        _field(action, name, [_literal(match) for match in matches]) for name, matches in rules if matches
    ]


def _by_policy(action: Any, policies: Iterable[PrincipalPolicy]) -> list[Any]:
    return [
        _field(action, policy.name, [_principal(principal) for principal in policy.principals])
        for policy in policies
    ]


def _field(action: Any, name: str, any_of: list[Any]) -> Any:
    predicate = any_of[0] if len(any_of) == 1 else _Predicate(or_matcher=_predicates(any_of))
    return _List.FieldMatcher(predicate=predicate, on_match=_action(action, name))


def _principal(principal: Principal) -> Any:
    return _all_of([_literal(item) for item in principal])


def _literal(item: UriMatch | NotAll) -> Any:
    if isinstance(item, NotAll):
        return _Predicate(not_matcher=_all_of([_literal(match) for match in item.matches]))
    parts = []
    if item.value:
        parts.append(_uri(item))
    if item.server_name:
        parts.append(_server_name(item.server_name))
    found = _all_of(parts)
    return _Predicate(not_matcher=found) if item.negated else found


def _all_of(predicates: list[Any]) -> Any:
    if not predicates:
        return _uri(UriMatch("spiffe://", prefix=True))
    if len(predicates) == 1:
        return predicates[0]
    return _Predicate(and_matcher=_predicates(predicates))


def _predicates(predicates: Sequence[Any]) -> Any:
    return _Predicate.PredicateList(predicate=predicates)


def _uri(match: UriMatch) -> Any:
    """The input is all URI SANs joined by commas, and a certificate has one per service and per tag; no
    identity has a comma in it."""
    literal = re.escape(match.value)
    regex = f"(?:.*,)?{literal}.*" if match.prefix else f"(?:.*,)?{literal}(?:,.*)?"
    return _single(
        "envoy.matching.inputs.uri_san",
        ssl_inputs_pb2.UriSanInput(),
        string_pb2.StringMatcher(
            safe_regex=regex_pb2.RegexMatcher(google_re2=regex_pb2.RegexMatcher.GoogleRE2(), regex=regex)
        ),
    )


def _server_name(name: str) -> Any:
    """Envoy knows the SNI in lower case."""
    return _single(
        "envoy.matching.inputs.server_name",
        network_inputs_pb2.ServerNameInput(),
        string_pb2.StringMatcher(exact=name.lower()),
    )


def _single(name: str, source: Any, value: Any) -> Any:
    return _Predicate(
        single_predicate=_Predicate.SinglePredicate(
            input=extension_pb2.TypedExtensionConfig(name=name, typed_config=pack(source)), value_match=value
        )
    )


def _action(action: Any, name: str) -> Any:
    return matcher_pb2.Matcher.OnMatch(
        action=extension_pb2.TypedExtensionConfig(
            name="envoy.filters.rbac.action", typed_config=pack(rbac_pb2.Action(name=name, action=action))
        )
    )
