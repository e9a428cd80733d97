"""What of a resource is told to whom (contract 8.5). Functions of one resource, so that a change costs what
it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from kumacp.identity.signing_keys import TokenKind, public_key_name, signing_key_name, stays_here
from kumacp.kds.at_zone.trust import CLUSTER_ID
from kumacp.kds.protocol.catalog import FLOWS
from kumacp.kds.protocol.hashing import synced_name
from kumacp.kds.protocol.messages import HASH_SUFFIX, OPTIONAL_TARGET_REF, PRODUCER_POLICIES
from kumacp.policy.selector import role
from kumamesh import names, tokens
from kumamesh.resource import Resource
from kumamesh.resources.registry import TYPES

SYNC_LABEL = "kuma.io/kds-sync"
_GRACE_LABEL = "kuma.io/deletion-grace-period-started-at"

_ZONE_KEYS = signing_key_name(TokenKind.ZONE, 0)


def to_zone(
    resource: Resource,
    zone: str,
    features: frozenset[str],
    enabled: Callable[[str], bool],
    *,
    hidden_labels: tuple[str, ...] = (),
) -> Resource | None:
    """The resource of the global control plane as the zone gets it, None if it is not for the zone.

    `features` are those of the node of the zone; `enabled` tells whether a zone is; labels whose names start
    like one of `hidden_labels` are left out.
    """
    flow = FLOWS[resource.type]
    if resource.labels.get(SYNC_LABEL) == "disabled" or not flow.to_some_zone:
        return None
    if not _is_for(resource, zone, features, enabled):
        return None
    shown = _public(resource)
    if shown is None:
        return None
    labels = {key: value for key, value in resource.labels.items() if not key.startswith(hidden_labels)}
    labels[names.ORIGIN_LABEL] = "global"
    shown = replace(shown, labels=labels)
    if flow.keeps_name or HASH_SUFFIX not in features:
        return shown
    return _renamed(shown, resource.labels)


def to_global(resource: Resource, zone: str) -> Resource | None:
    """The resource of the zone as its global gets it, None if it is not the zone's own."""
    if resource.labels.get(SYNC_LABEL) == "disabled" or not FLOWS[resource.type].to_global:
        return None
    if resource.labels.get(names.ORIGIN_LABEL, "zone") != "zone":
        return None
    labels = {key: value for key, value in resource.labels.items() if key != _GRACE_LABEL}
    labels |= {names.ORIGIN_LABEL: "zone", names.ZONE_LABEL: zone}
    return _renamed(_without_generations(replace(resource, labels=labels)), labels)


def _renamed(resource: Resource, labels: Mapping[str, str]) -> Resource:
    display_name = labels.get(names.DISPLAY_NAME_LABEL) or resource.name
    key = resource.key._replace(name=synced_name(resource.mesh, display_name, labels))
    return replace(resource, key=key, labels={**resource.labels, names.DISPLAY_NAME_LABEL: display_name})


def _is_for(resource: Resource, zone: str, features: frozenset[str], enabled: Callable[[str], bool]) -> bool:
    flow = FLOWS[resource.type]
    policy = TYPES[resource.type].policy and TYPES[resource.type].nested_spec
    if policy and resource.spec.target_ref is None and OPTIONAL_TARGET_REF not in features:
        return False
    if resource.labels.get(names.ORIGIN_LABEL, "global") == "global":
        return flow.to_zones
    source = resource.labels.get(names.ZONE_LABEL, "")
    if not flow.across or source in ("", zone) or not enabled(source):
        return False
    return not policy or (PRODUCER_POLICIES in features and _is_offered(resource, zone))


def _is_offered(policy: Resource, zone: str) -> bool:
    """Whether a policy of one zone is for those who call its services from the other zone."""
    if role(policy) != "producer" or not getattr(policy.spec, "to", ()):
        return False
    target = policy.spec.target_ref
    subset = target.tags if target is not None and target.kind == "MeshSubset" else {}
    return bool(subset.get(names.ZONE_TAG, zone) == zone)


def _public(resource: Resource) -> Resource | None:
    """What may leave the global control plane: of keys that it signs zone tokens with, the public half."""
    if resource.type == "Config":
        return resource if resource.name == CLUSTER_ID else None
    if resource.type != "GlobalSecret":
        return resource
    if stays_here(resource.name):
        return None
    return _public_key(resource) if resource.name.startswith(_ZONE_KEYS) else resource


def _public_key(secret: Resource) -> Resource | None:
    serial = secret.name.removeprefix(f"{_ZONE_KEYS}-")
    if not (serial.isascii() and serial.isdecimal()):
        return None
    try:
        pem = tokens.public_pem(secret.spec.data)
    except ValueError:
        return None
    key = secret.key._replace(name=public_key_name(int(serial)))
    return replace(secret, key=key, spec=secret.spec.model_copy(update={"data": pem}))


def _without_generations(resource: Resource) -> Resource:
    """Insights count their own writes; what is told of them is what they say."""
    subscriptions = getattr(resource.spec, "subscriptions", ())
    if not any(subscription.generation for subscription in subscriptions):
        return resource
    plain = tuple(subscription.model_copy(update={"generation": 0}) for subscription in subscriptions)
    return replace(resource, spec=resource.spec.model_copy(update={"subscriptions": plain}))
