"""MeshTrafficPermission: all policies that select an inbound, merged in order; the last says what counts
(kuma-cp 2.11, contract 5.6)."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from kumacp.policy.selector import (
    WILDCARD,
    client_tags,
    is_shadow,
    role,
    selects,
    selects_outside,
    target,
    target_service,
)
from kumacp.policy.traffic_permission import tag_match
from kumacp.xds.model import (
    MatcherRbac,
    NotAll,
    Principal,
    PrincipalPolicy,
    PrincipalRbac,
    Rbac,
    SpiffeRule,
    UriMatch,
)
from kumamesh import names
from kumamesh.kri import kri_of
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound
from kumamesh.resources.permission import Action, Match

POLICY_NAME = "MeshTrafficPermission"
"""Name in RBAC of what the `from` forms of all policies say together."""

_KINDS = (
    "Mesh",
    "Dataplane",
    "MeshSubset",
    "MeshGateway",
    "MeshService",
    "MeshExternalService",
    "MeshMultiZoneService",
    "MeshServiceSubset",
    "MeshHTTPRoute",
)
_ORIGINS = ("", "global", "zone")
_ROLES = ("system", "producer", "consumer", "workload-owner")


class MeshTrafficPermissions:
    """The policies of a mesh in the order in which they are merged; shadow policies are left out."""

    def __init__(self, mesh: str, policies: Iterable[Resource]) -> None:
        self._mesh = mesh
        self._by_service: dict[str, list[tuple[int, Resource]]] = {}
        effective = (policy for policy in policies if not is_shadow(policy))
        for place, policy in enumerate(in_merge_order(effective)):
            self._by_service.setdefault(target_service(policy), []).append((place, policy))

    def selecting(self, dataplane: Resource, inbound: Inbound) -> tuple[Resource, ...]:
        """In merge order."""
        return tuple(
            policy for policy in self._candidates(inbound.service) if selects(policy, dataplane, inbound)
        )

    def selecting_outside(self, tags: Mapping[str, str], zone: str) -> tuple[Resource, ...]:
        """Those for a service outside the mesh, in merge order."""
        return tuple(
            policy
            for policy in self._candidates(tags.get(names.SERVICE_TAG, WILDCARD))
            if selects_outside(policy, tags, zone)
        )

    def _candidates(self, service: str) -> Iterable[Resource]:
        places = (self._by_service.get(one, ()) for one in {service, WILDCARD})
        return (policy for _, policy in heapq.merge(*places))

    def rbac(self, policies: Sequence[Resource], *, http: bool) -> Rbac:
        """What the policies, in merge order, say together."""
        entries = _effective([entry for policy in policies for entry in _entries(policy)])
        rules = tuple(rule for policy in policies for rule in _rules(policy))
        if not rules:
            return PrincipalRbac(
                allow=self._together(entries, "Allow", "AllowWithShadowDeny"),
                shadow_deny=self._together(entries, "AllowWithShadowDeny"),
                http=http,
            )
        return MatcherRbac(
            rules=rules,
            http=http,
            deny=self._each(entries, "Deny"),
            allow=self._each(entries, "Allow", "AllowWithShadowDeny"),
            shadow_deny=self._each(entries, "AllowWithShadowDeny"),
        )

    def _together(self, entries: Sequence[_Entry], *actions: Action) -> tuple[PrincipalPolicy, ...]:
        principals = self._principals(entries, actions)
        if not principals:
            return ()
        distinct = tuple(dict.fromkeys(principal for _, principal in principals))
        return (PrincipalPolicy(POLICY_NAME, distinct),)

    def _each(self, entries: Sequence[_Entry], *actions: Action) -> tuple[PrincipalPolicy, ...]:
        return tuple(
            PrincipalPolicy(entry.name, (principal,))
            for entry, principal in self._principals(entries, actions)
        )

    def _principals(
        self, entries: Sequence[_Entry], actions: tuple[Action, ...]
    ) -> list[tuple[_Entry, Principal]]:
        """For each entry with one of the actions: its clients, without those for whom a later entry says
        something else."""
        return [
            (entry, self._clients(entry, [e for e in entries[index + 1 :] if e.action not in actions]))
            for index, entry in enumerate(entries)
            if entry.action in actions
        ]

    def _clients(self, entry: _Entry, exceptions: Sequence[_Entry]) -> Principal:
        rest = (
            _remaining(exception.tags, entry.tags)
            for exception in exceptions
            if not _is_disjoint(exception.tags, entry.tags)
        )
        excluded = dict.fromkeys(self._all_but(tags) for tags in rest)
        return (*self._matches(entry.tags), *excluded)

    def _all_but(self, tags: Mapping[str, str]) -> UriMatch | NotAll:
        matches = self._matches(tags)
        if len(matches) == 1:
            return UriMatch(matches[0].value, negated=True)
        return NotAll(matches)

    def _matches(self, tags: Mapping[str, str]) -> tuple[UriMatch, ...]:
        return tuple(tag_match(self._mesh, tag, tags[tag]) for tag in sorted(tags))


@dataclass(frozen=True, slots=True)
class _Entry:
    """One item of a `from` list: what happens to clients that have all the tags. `name` is the policy's."""

    name: str
    tags: Mapping[str, str]
    action: Action


def in_merge_order(policies: Iterable[Resource]) -> tuple[Resource, ...]:
    """From what is overruled to what overrules: kind, section, origin, role, then z before a."""
    by_name = sorted(policies, key=display_name, reverse=True)
    return tuple(sorted(by_name, key=_specificity))


def display_name(resource: Resource) -> str:
    return resource.labels.get(names.DISPLAY_NAME_LABEL, resource.name)


def _specificity(policy: Resource) -> tuple[int, bool, int, int]:
    ref = target(policy)
    return (
        _position(_KINDS, ref.kind),
        ref.kind == "Dataplane" and bool(ref.section_name),
        _position(_ORIGINS, policy.labels.get(names.ORIGIN_LABEL, "")),
        _position(_ROLES, role(policy)),
    )


def _position(order: Sequence[str], value: str) -> int:
    return order.index(value) if value in order else len(order)


def _entries(policy: Resource) -> Iterable[_Entry]:
    for item in policy.spec.from_:
        tags, action = client_tags(item.target_ref), item.default.action
        if tags is not None and action is not None:
            yield _Entry(kri_of(policy), tags, action)


def _effective(entries: Sequence[_Entry]) -> list[_Entry]:
    """Without those that a later entry overrules for each of their clients."""
    return [
        entry
        for index, entry in enumerate(entries)
        if not any(later.tags.items() <= entry.tags.items() for later in entries[index + 1 :])
    ]


def _is_disjoint(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether the two want different values of a tag. A client with both values, of two inbounds, belongs
    to both, and then being allowed as one of them is enough, as in Kuma."""
    return any(other.get(tag, value) != value for tag, value in one.items())


def _remaining(tags: Mapping[str, str], known: Mapping[str, str]) -> Mapping[str, str]:
    """The tags that do not follow from the known ones."""
    return {tag: value for tag, value in tags.items() if tag not in known}


def _rules(policy: Resource) -> Iterable[SpiffeRule]:
    for rule in policy.spec.rules:
        yield SpiffeRule(
            name=kri_of(policy),
            deny=_uri_matches(rule.default.deny),
            allow=_uri_matches(rule.default.allow),
            allow_with_shadow_deny=_uri_matches(rule.default.allow_with_shadow_deny),
        )


def _uri_matches(matches: Iterable[Match]) -> tuple[UriMatch, ...]:
    return tuple(
        UriMatch(
            match.spiffe_id.value if match.spiffe_id else "",
            prefix=match.spiffe_id is not None and match.spiffe_id.type == "Prefix",
            server_name=match.sni.value if match.sni else "",
        )
        for match in matches
        if match.spiffe_id or match.sni
    )
