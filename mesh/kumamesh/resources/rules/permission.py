"""Rules of TrafficPermission and MeshTrafficPermission (kuma-cp 2.10, 2.11)."""

from __future__ import annotations

import re

from kumamesh.resource import Violation
from kumamesh.resources.permission import (
    Match,
    MeshTrafficPermission,
    RuleDefault,
    SpiffeId,
    TargetRef,
    TrafficPermission,
)
from kumamesh.resources.rules.common import (
    BAD_NAME,
    CANNOT_BE_EMPTY,
    MUST_BE_DEFINED,
    Violations,
    check_selector,
    check_selectors,
    check_tags,
    name_problem,
)

_CLIENT_KINDS = frozenset({"Mesh", "MeshSubset", "MeshService", "MeshServiceSubset"})
_PROXY_KINDS = _CLIENT_KINDS | {"Dataplane"}
_PROXY_TYPES = frozenset({"Sidecar", "Gateway"})
_FORBIDDEN = {
    "Mesh": ("mesh", "tags", "labels", "namespace", "sectionName"),
    "Dataplane": ("tags", "mesh", "proxyTypes"),
    "MeshSubset": ("name", "mesh", "labels", "namespace", "sectionName"),
    "MeshService": ("mesh", "tags", "proxyTypes"),
    "MeshServiceSubset": ("mesh", "proxyTypes", "labels", "namespace", "sectionName"),
}
"""Fields of a targetRef that its kind does not have."""
_SPIFFE_ID = re.compile(r"spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*")
_SPIFFE_PREFIX = re.compile(r"spiffe://[a-z0-9._-]+(/[A-Za-z0-9._-]+)*/?")


def check_traffic_permission(permission: TrafficPermission) -> Violations:
    yield from check_selectors("sources", permission.sources)
    yield from check_selectors("destinations", permission.destinations)


def check_mesh_traffic_permission(permission: MeshTrafficPermission) -> Violations:
    for_inbounds = bool(permission.from_ or permission.rules)
    if permission.target_ref is not None:
        yield from _check_target_ref("targetRef", permission.target_ref, _PROXY_KINDS)
        if permission.target_ref.section_name and not for_inbounds:
            yield Violation("targetRef.sectionName", "can only be used with inbound policies")
    if permission.from_ and permission.rules:
        yield Violation("", "field 'from' must be empty when 'rules' is defined")
    if not for_inbounds:
        yield Violation("", "at least one of 'from' or 'rules' has to be defined")
    for index, rule in enumerate(permission.rules):
        yield from _check_rule(f"rules[{index}]", rule.default)
    for index, clients in enumerate(permission.from_):
        target = clients.target_ref or TargetRef()
        yield from _check_target_ref(f"from[{index}].targetRef", target, _CLIENT_KINDS)
        if clients.default.action is None:
            yield Violation(f"from[{index}].default.action", MUST_BE_DEFINED)


def _check_target_ref(path: str, ref: TargetRef, kinds: frozenset[str]) -> Violations:
    if not ref.kind:
        yield Violation(f"{path}.kind", MUST_BE_DEFINED)
        return
    if ref.kind not in kinds:
        yield Violation(f"{path}.kind", "value is not supported")
        return
    given = {
        "name": ref.name,
        "mesh": ref.mesh,
        "tags": ref.tags,
        "labels": ref.labels,
        "namespace": ref.namespace,
        "sectionName": ref.section_name,
        "proxyTypes": ref.proxy_types,
    }
    for field in _FORBIDDEN[ref.kind]:
        if given[field]:
            yield Violation(f"{path}.{field}", f"must not be set with kind {ref.kind}")
    for index, proxy_type in enumerate(ref.proxy_types):
        if proxy_type not in _PROXY_TYPES:
            yield Violation(f"{path}.proxyTypes[{index}]", "value is not supported")
    yield from _check_named(path, ref)


def _check_named(path: str, ref: TargetRef) -> Violations:
    """How the kind names its target: by name, by labels or by tags."""
    if ref.kind == "Mesh" and ref.name:
        yield Violation(f"{path}.name", "using name with kind Mesh is not yet supported")
    if ref.kind == "MeshSubset":
        yield from check_tags(f"{path}.tags", ref.tags)
    if ref.kind == "MeshServiceSubset":
        yield from check_selector(f"{path}.tags", ref.tags)
    if ref.kind in {"MeshService", "MeshServiceSubset"}:
        by_labels = ref.kind == "MeshService" and ref.labels
        if not ref.name and not by_labels:
            yield Violation(f"{path}.name", f"must be set with kind {ref.kind}")
        if ref.name and name_problem(ref.name) == BAD_NAME:
            yield Violation(
                f"{path}.name",
                "invalid characters: must consist of lower case alphanumeric characters, '-', '.' and '_'.",
            )
    if ref.kind in {"MeshService", "Dataplane"} and ref.labels and (ref.name or ref.namespace):
        yield Violation(f"{path}.labels", "either labels or name and namespace must be specified")
    if ref.kind == "MeshService" and ref.labels and ref.section_name:
        yield Violation(f"{path}.sectionName", "sectionName should not be combined with labels")


def _check_rule(path: str, default: RuleDefault) -> Violations:
    if not (default.allow or default.deny or default.allow_with_shadow_deny):
        yield Violation(path, "at least one of 'allow', 'allowWithShadowDeny', 'deny' has to be defined")
    lists = (
        ("allow", default.allow),
        ("allowWithShadowDeny", default.allow_with_shadow_deny),
        ("deny", default.deny),
    )
    for field, matches in lists:
        for index, match in enumerate(matches):
            yield from _check_match(f"{path}.default.{field}[{index}]", match)


def _check_match(path: str, match: Match) -> Violations:
    if match.spiffe_id is None and match.sni is None:
        yield Violation(path, "at least one of 'spiffeID', 'sni' has to be defined")
    if match.spiffe_id is not None:
        yield from _check_spiffe_id(f"{path}.spiffeID", match.spiffe_id)
    if match.sni is not None:
        if match.sni.type is None:
            yield Violation(f"{path}.sni.type", MUST_BE_DEFINED)
        if not match.sni.value:
            yield Violation(f"{path}.sni.value", CANNOT_BE_EMPTY)


def _check_spiffe_id(path: str, spiffe_id: SpiffeId) -> Violations:
    if spiffe_id.type is None:
        yield Violation(f"{path}.type", MUST_BE_DEFINED)
    form = _SPIFFE_PREFIX if spiffe_id.type == "Prefix" else _SPIFFE_ID
    if not form.fullmatch(spiffe_id.value):
        yield Violation(path, "must be a valid Spiffe ID")
