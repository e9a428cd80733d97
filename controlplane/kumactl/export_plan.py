"""What `kumactl export` writes, in which order and form. The profiles are Kuma's, without what only a control
plane writes: the output is there to be applied."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kumactl.answer import section, text
from kumamesh.names import ORIGIN_LABEL
from kumamesh.resources.registry import TYPES, ResourceType

ALL, FEDERATION = "all", "federation"
FEDERATION_WITH_POLICIES, NO_DATAPLANES = "federation-with-policies", "no-dataplanes"
PROFILES = (ALL, FEDERATION, FEDERATION_WITH_POLICIES, NO_DATAPLANES)
UNIVERSAL, KUBERNETES = "universal", "kubernetes"
FORMATS = (UNIVERSAL, KUBERNETES)

_MIGRATIONS = (FEDERATION, FEDERATION_WITH_POLICIES)
_OF_A_ZONE = frozenset({"Dataplane", "Zone", "ZoneIngress", "ZoneEgress"})
"""Types that a global control plane does not hand to its zones: it needs none of them to begin with."""
_ORDER = {"Mesh": 0, "Secret": 1, "GlobalSecret": 99}
_OTHER_ORDER = 50
_NOT_EXPORTED = frozenset({"envoy-admin-ca", "inter-cp-ca"})
"""GlobalSecrets of one control plane; in another one they would break its own TLS."""
_USER_SIGNING_KEY = "user-token-signing-key"
_CLUSTER_FIELDS = ("resourceVersion", "ownerReferences", "uid", "generation", "managedFields")

Document = dict[str, Any]


def exported_types(profile: str, *, include_admin: bool) -> list[ResourceType]:
    """The types, in the order in which they can be applied. A migration takes secrets along in any case."""
    found = [type_ for type_ in TYPES.values() if _wanted(type_, profile, include_admin)]
    return sorted(found, key=lambda type_: (_ORDER.get(type_.name, _OTHER_ORDER), type_.name))


def _wanted(type_: ResourceType, profile: str, include_admin: bool) -> bool:
    if type_.read_only or (type_.admin_only and not include_admin and profile not in _MIGRATIONS):
        return False
    if profile == FEDERATION:
        return type_.name not in _OF_A_ZONE and not (type_.policy and type_.nested_spec)
    if profile == FEDERATION_WITH_POLICIES:
        return type_.name not in _OF_A_ZONE
    return profile != NO_DATAPLANES or type_.name != "Dataplane"


def in_order(documents: Iterable[Document]) -> list[Document]:
    """Without what stays with its control plane; keys of user tokens come last, because from then on the
    token of whoever applies them may be worth nothing."""
    kept = [one for one in documents if not _stays(one)]
    return sorted(kept, key=lambda one: _is_global_secret(one) and _name(one).startswith(_USER_SIGNING_KEY))


def universal(document: Document, profile: str) -> Document:
    """The form in which a resource is written."""
    written = dict(document)
    _drop_labels(written, profile)
    if written.get("type") == "Mesh":
        written["skipCreatingInitialPolicies"] = ["*"]
    return written


def kubernetes(document: Document, profile: str) -> Document:
    """The object in which a resource is written, without what belongs to the cluster that it comes from."""
    written = dict(document)
    metadata = {
        key: value for key, value in section(document, "metadata").items() if key not in _CLUSTER_FIELDS
    }
    _drop_labels(metadata, profile)
    _drop_labels(metadata, profile, "annotations")
    written["metadata"] = metadata
    if written.get("kind") == "Mesh":
        written["spec"] = {**section(document, "spec"), "skipCreatingInitialPolicies": ["*"]}
    return written


def in_namespace(document: Document, profile: str, namespace: str) -> bool:
    """Whether another cluster can have the object: a global one knows the system namespace alone."""
    found = text(document, "metadata", "namespace")
    return profile == ALL or not found or found == namespace


def _drop_labels(holder: Document, profile: str, field: str = "labels") -> None:
    """A zone's resources become those of a global control plane: where they come from is no longer true."""
    labels = holder.get(field)
    if profile not in _MIGRATIONS or not isinstance(labels, Mapping):
        return
    kept = {key: value for key, value in labels.items() if key != ORIGIN_LABEL}
    if kept:
        holder[field] = kept
    else:
        del holder[field]


def _stays(document: Document) -> bool:
    return _is_global_secret(document) and _name(document) in _NOT_EXPORTED


def _is_global_secret(document: Document) -> bool:
    return document.get("type") == "GlobalSecret"


def _name(document: Document) -> str:
    return text(document, "name")
