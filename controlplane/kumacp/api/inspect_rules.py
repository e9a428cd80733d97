"""The rules that policies make for the inbounds of a Dataplane (contract 9.4)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kumacp.api.inspect_policies import Matched, PolicyMatcher, meta
from kumacp.policy.selector import client_tags
from kumamesh.kri import kri_of
from kumamesh.names import format_address
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound
from kumamesh.resources.rest import spec_to_json

TYPE = "MeshTrafficPermission"
"""The only policy type that makes rules; others are matched as they are."""
NO_MTLS = "mTLS of the mesh is off: this policy has no effect"

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClientRule:
    """What happens to clients that have all the tags; `origins` say so, the last of them decides."""

    tags: Mapping[str, str]
    action: str
    origins: tuple[Resource, ...]


def client_rules(policies: Sequence[Resource]) -> list[ClientRule]:
    """The `from` forms of policies in merge order. For a client, the first rule that fits decides."""
    rules: list[ClientRule] = []
    for policy in policies:
        for item in policy.spec.from_:
            tags, action = client_tags(item.target_ref), item.default.action
            if tags is None or action is None:
                continue
            before = [origin for rule in rules if rule.tags == tags for origin in rule.origins]
            rules = [rule for rule in rules if not tags.items() <= rule.tags.items()]
            origins = tuple(dict.fromkeys(origin.key for origin in (*before, policy)))
            known = {origin.key: origin for origin in (*before, policy)}
            rules.append(ClientRule(tags, action, tuple(known[key] for key in origins)))
    return rules[::-1]


def rules_document(dataplane: Resource, matcher: PolicyMatcher, *, mtls: bool) -> Document:
    """`dataplanes/<name>/_rules`."""
    matched = [one for one in matcher.of(dataplane) if one.policies and one.policies[0].type == TYPE]
    rule = {
        "type": TYPE,
        "fromRules": list(_from_rules(matched)),
        "inboundRules": list(_inbound_rules(matched)),
        "toRules": [],
        "toResourceRules": [],
        "warnings": [] if mtls else [NO_MTLS],
    }
    return {"resource": meta(dataplane), "rules": [rule] if matched else [], "httpMatches": []}


def attachments_document(dataplane: Resource, matcher: PolicyMatcher) -> Document:
    """`dataplanes/<name>/rules`, the form before `_rules`."""
    items = [
        _subset(dataplane, matched.inbound, rule)
        for matched in matcher.of(dataplane)
        if matched.policies and matched.policies[0].type == TYPE
        for rule in client_rules(matched.policies)
    ]
    return {"total": len(items), "items": items}


def inbound_policies_document(matched: Matched) -> Document:
    """`dataplanes/<name>/_inbounds/<kri>/_policies`: one entry for all policies of a type."""
    policies = [policy for policy in matched.policies if policy.type == TYPE]
    if not policies:
        return {"policies": []}
    by_tags = [
        {
            "kri": kri_of(rule.origins[-1]),
            "matchers": _matchers(rule.tags),
            "conf": {"action": rule.action},
        }
        for rule in client_rules(policies)
    ]
    by_identity = [
        {"kri": kri_of(policy), "conf": spec_to_json(rule.default)}
        for policy in policies
        for rule in policy.spec.rules
    ]
    origins = [{"kri": kri_of(policy)} for policy in policies]
    return {"policies": [{"kind": TYPE, "rules": by_tags + by_identity, "origins": origins}]}


def _from_rules(matched: Sequence[Matched]) -> Iterator[Document]:
    for one in matched:
        rules = [
            {
                "matchers": _matchers(rule.tags),
                "conf": {"action": rule.action},
                "origin": [meta(origin) for origin in rule.origins],
            }
            for rule in client_rules(one.policies)
        ]
        if rules:
            yield {"inbound": _inbound(one.inbound), "rules": rules}


def _inbound_rules(matched: Sequence[Matched]) -> Iterator[Document]:
    for one in matched:
        rules = [
            {
                "conf": [spec_to_json(rule.default)],
                "origin": [{"resourceMeta": meta(policy), "ruleIndex": index}],
            }
            for policy in one.policies
            for index, rule in enumerate(policy.spec.rules)
        ]
        if rules:
            yield {"inbound": _inbound(one.inbound), "rules": rules}


def _subset(dataplane: Resource, inbound: Inbound, rule: ClientRule) -> Document:
    address = format_address(dataplane.spec.networking.inbound_address(inbound), inbound.port)
    return {
        "type": "ClientSubset",
        "name": address,
        "addresses": [address],
        "service": inbound.service,
        "tags": dict(inbound.tags),
        "policyType": TYPE,
        "subset": dict(rule.tags),
        "conf": {"action": rule.action},
        "origins": [{"mesh": origin.mesh, "name": origin.name} for origin in rule.origins],
    }


def _inbound(inbound: Inbound) -> Document:
    named = {"name": inbound.name} if inbound.name else {}
    return {**named, "tags": dict(inbound.tags), "port": inbound.port}


def _matchers(tags: Mapping[str, str]) -> list[Document]:
    return [{"key": key, "value": tags[key], "not": False} for key in sorted(tags)]
