"""Selectors by tags, and which proxies and inbounds the targetRef of a policy selects."""

from __future__ import annotations

from collections.abc import Mapping

from kumamesh import names
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound
from kumamesh.resources.permission import TargetRef

WILDCARD = "*"

EFFECT_LABEL = "kuma.io/effect"
POLICY_ROLE_LABEL = "kuma.io/policy-role"

_OF_A_NAMESPACE = {"consumer", "workload-owner"}
"""Roles of policies for the proxies of one namespace."""

_WHOLE_MESH = TargetRef(kind="Mesh")


def matches(selector: Mapping[str, str], tags: Mapping[str, str]) -> bool:
    """Every key of the selector is there, with its value or any value for `*`."""
    for key, wanted in selector.items():
        value = tags.get(key)
        if value is None or wanted not in {WILDCARD, value}:
            return False
    return True


def rank(selector: Mapping[str, str]) -> tuple[int, int]:
    """The higher, the more specific: more tags, then fewer wildcards."""
    return len(selector), sum(value != WILDCARD for value in selector.values())


def target(policy: Resource) -> TargetRef:
    """The top-level targetRef; without one the policy is for the whole mesh."""
    ref: TargetRef | None = policy.spec.target_ref
    return ref if ref is not None else _WHOLE_MESH


def is_shadow(policy: Resource) -> bool:
    """Whether the policy is only to be inspected."""
    return policy.labels.get(EFFECT_LABEL) == "shadow"


def selects(policy: Resource, dataplane: Resource, inbound: Inbound) -> bool:
    if not (_of_same_zone(policy, dataplane) and _of_same_namespace(policy, dataplane)):
        return False
    ref = target(policy)
    if ref.kind == "Dataplane":
        return _is_referenced(ref, dataplane) and _is_section(ref, inbound)
    tags = client_tags(ref)
    if tags is None:
        return False
    if ref.kind in {"Mesh", "MeshSubset"} and not _of_proxy_type(ref, dataplane):
        return False
    return matches(tags, inbound.tags)


def selects_outside(policy: Resource, tags: Mapping[str, str], zone: str) -> bool:
    """Whether it decides about a service outside the mesh that has the tags, where the egresses of the zone
    let it be called. Policies for single proxies, or for those of a namespace, never do."""
    if role(policy) in _OF_A_NAMESPACE:
        return False
    made_in_zone = policy.labels.get(names.ORIGIN_LABEL) == "zone" and role(policy) != "producer"
    if made_in_zone and policy.labels.get(names.ZONE_LABEL, zone) != zone:
        return False
    wanted = client_tags(target(policy))
    return wanted is not None and matches(wanted, tags)


def client_tags(ref: TargetRef | None) -> Mapping[str, str] | None:
    """The targetRef as tags; None for kinds that do not select by tags."""
    if ref is None or ref.kind == "Mesh":
        return {}
    if ref.kind == "MeshSubset":
        return ref.tags
    if ref.kind in {"MeshService", "MeshServiceSubset"}:
        return {**ref.tags, names.SERVICE_TAG: ref.name}
    return None


def target_service(policy: Resource) -> str:
    """The only service whose inbounds the policy can select, or `*`."""
    return (client_tags(target(policy)) or {}).get(names.SERVICE_TAG, WILDCARD)


def _of_proxy_type(ref: TargetRef, dataplane: Resource) -> bool:
    own = "Sidecar" if dataplane.spec.networking.gateway is None else "Gateway"
    return not ref.proxy_types or own in ref.proxy_types


def _is_referenced(ref: TargetRef, dataplane: Resource) -> bool:
    if ref.name and ref.name not in {dataplane.name, dataplane.labels.get(names.DISPLAY_NAME_LABEL)}:
        return False
    if ref.namespace and ref.namespace != dataplane.labels.get(names.NAMESPACE_LABEL):
        return False
    return matches(ref.labels, dataplane.labels)


def _is_section(ref: TargetRef, inbound: Inbound) -> bool:
    return ref.section_name in {"", inbound.name, str(inbound.port)}


def _of_same_zone(policy: Resource, dataplane: Resource) -> bool:
    """A policy made in a zone is for proxies of that zone, unless its role is to offer a service to all."""
    if policy.labels.get(names.ORIGIN_LABEL) != "zone" or role(policy) == "producer":
        return True
    if dataplane.labels.get(names.ORIGIN_LABEL) != "zone":
        return True
    zone = policy.labels.get(names.ZONE_LABEL)
    return zone is None or zone == dataplane.labels.get(names.ZONE_LABEL)


def _of_same_namespace(policy: Resource, dataplane: Resource) -> bool:
    if role(policy) not in _OF_A_NAMESPACE:
        return True
    namespace = policy.labels.get(names.NAMESPACE_LABEL)
    return namespace is not None and namespace == dataplane.labels.get(names.NAMESPACE_LABEL)


def role(policy: Resource) -> str:
    return policy.labels.get(POLICY_ROLE_LABEL, "system")
