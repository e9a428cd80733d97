"""Resources as the REST API and YAML files show them (kuma-cp 2.0, contract 9.2).

Three shapes are read: flat, body under `spec`, and that of Kubernetes. Written is the shape of the type.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kumamesh.kri import kri_of
from kumamesh.names import MESH_LABEL, NAMESPACE_LABEL
from kumamesh.resource import NEVER, InvalidResource, Resource, ResourceKey, Violation
from kumamesh.resources.base import Spec, format_time, parse_time
from kumamesh.resources.registry import TYPES, ResourceType, suggest_type
from kumamesh.resources.rules.common import CANNOT_BE_EMPTY, join, name_problem
from kumamesh.resources.translate import check, is_field, unknown_field

KUBERNETES_API_VERSION = "kuma.io/v1alpha1"
SYSTEM_NAMESPACE = "kuma-system"
"""Namespace of resources that name none."""
_ENVELOPE_FIELDS = ("type", "mesh", "name", "labels", "creationTime", "modificationTime", "spec")
_KUBERNETES_FIELDS = ("apiVersion", "kind", "mesh", "metadata", "spec")
_SILENT_FIELDS = ("kri", "status")
"""Fields that a control plane adds to what it shows, and that people send back."""
_ENVELOPE = frozenset((*_ENVELOPE_FIELDS, *_SILENT_FIELDS))


@dataclass(frozen=True, slots=True)
class _Envelope:
    """A document taken apart. `prefix` is the path of `body` in it."""

    type: Any
    mesh: Any
    name: Any
    labels: Any
    created: Any
    modified: Any
    body: Any
    prefix: str


def from_rest(data: Mapping[str, Any], *, key: ResourceKey | None = None) -> Resource:
    """The resource that a document describes; raises InvalidResource with everything that is wrong with it.

    `key` is what the document must be, and what it leaves out: the URL of a request.
    """
    if not isinstance(data, Mapping):
        raise InvalidResource((Violation("", "a resource must be an object"),))
    if problem := _unwritable(data):
        raise InvalidResource((Violation("", problem),))
    violations: list[Violation] = []
    envelope = _take_apart_kubernetes(data, violations) if "apiVersion" in data else _take_apart(data)
    type_ = _type(envelope.type, key, violations)
    name = _identity("name", envelope.name, key.name if key else "", violations)
    mesh = ""
    if type_.mesh_scoped if type_ else envelope.mesh:
        mesh = _identity("mesh", envelope.mesh, key.mesh if key else "", violations)
    if type_ is not None and type_.name == "Mesh" and len(name) > 63:
        violations.append(Violation("name", "cannot be longer than 63 characters"))
    labels = _labels(envelope.labels, violations)
    created = _time("creationTime", envelope.created, violations)
    modified = _time("modificationTime", envelope.modified, violations)
    spec = _spec(type_, data, envelope, violations) if type_ else None
    if violations or type_ is None or spec is None:
        raise InvalidResource(tuple(violations))
    return Resource(ResourceKey(type_.name, mesh, name), spec, labels, created, modified)


def to_rest(resource: Resource) -> dict[str, Any]:
    """The document of a resource; parts that are empty are left out."""
    return _head(resource) | _body(resource)


def to_shown(resource: Resource) -> dict[str, Any]:
    """The document as a control plane shows it: with the identifier, which is never stored."""
    return shown_head(resource) | _body(resource)


def shown_head(resource: Resource) -> dict[str, Any]:
    """What a control plane shows of every resource, whatever its type."""
    identifier = kri_of(resource)
    return _head(resource) | ({"kri": identifier} if identifier else {})


def _head(resource: Resource) -> dict[str, Any]:
    document: dict[str, Any] = {"type": resource.type}
    if resource.mesh:
        document["mesh"] = resource.mesh
    document["name"] = resource.name
    if resource.labels:
        document["labels"] = dict(resource.labels)
    document["creationTime"] = format_time(resource.creation_time)
    document["modificationTime"] = format_time(resource.modification_time)
    return document


def _body(resource: Resource) -> dict[str, Any]:
    body = spec_to_json(resource.spec)
    return {"spec": body} if TYPES[resource.type].nested_spec else body


def to_kubernetes(resource: Resource, namespace: str = "") -> dict[str, Any]:
    """The document of a resource as Kubernetes knows it; `from_rest` makes the same resource of it.

    Kubernetes has policies with a nested body know their mesh by a label, and other types by a field.
    """
    type_ = TYPES[resource.type]
    labels = dict(resource.labels)
    if resource.mesh and type_.nested_spec:
        labels[MESH_LABEL] = resource.mesh
    metadata: dict[str, Any] = {"name": resource.name}
    if type_.namespaced:
        metadata["namespace"] = namespace or labels.get(NAMESPACE_LABEL, SYSTEM_NAMESPACE)
    if labels:
        metadata["labels"] = labels
    if resource.creation_time != NEVER:
        metadata["creationTimestamp"] = format_time(resource.creation_time)
    mesh = {"mesh": resource.mesh} if resource.mesh and not type_.nested_spec else {}
    head = {"apiVersion": KUBERNETES_API_VERSION, "kind": resource.type}
    return head | mesh | {"metadata": metadata, "spec": spec_to_json(resource.spec)}


def spec_to_json(spec: Spec) -> dict[str, Any]:
    """The body of a resource; what equals its default is left out."""
    return spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)


def spec_from_json(type_: str, body: Mapping[str, Any]) -> Spec:
    """The model of a body that was valid when it was written; rules are not checked again."""
    return TYPES[type_].spec.model_validate(body, by_alias=True, by_name=False)


def _unwritable(data: Mapping[str, Any]) -> str | None:
    """Why the document, once stored, could not be shown to anybody: JSON texts can say half a character."""
    try:
        json.dumps(data, ensure_ascii=False, default=str, skipkeys=True).encode()
    except UnicodeEncodeError:
        return "a resource must not hold half of a surrogate pair (\\ud800 to \\udfff)"
    except (ValueError, RecursionError):
        return "a resource must not be nested so deeply"
    return None


def _take_apart(data: Mapping[str, Any]) -> _Envelope:
    nested = "spec" in data
    return _Envelope(
        type=data.get("type"),
        mesh=data.get("mesh"),
        name=data.get("name"),
        labels=data.get("labels"),
        created=data.get("creationTime"),
        modified=data.get("modificationTime"),
        body=data["spec"] if nested else {k: v for k, v in data.items() if k not in _ENVELOPE},
        prefix="spec" if nested else "",
    )


def _take_apart_kubernetes(data: Mapping[str, Any], violations: list[Violation]) -> _Envelope:
    if data["apiVersion"] != KUBERNETES_API_VERSION:
        violations.append(Violation("apiVersion", f'must be "{KUBERNETES_API_VERSION}"'))
    metadata = _object(data.get("metadata"))
    labels, annotations = metadata.get("labels"), _object(metadata.get("annotations"))
    mesh = data.get("mesh")
    if not mesh and isinstance(labels, dict) and MESH_LABEL in labels:
        # Where it says which mesh is meant, it is no label that somebody gave the resource.
        mesh = labels[MESH_LABEL]
        labels = {key: value for key, value in labels.items() if key != MESH_LABEL}
    mesh = mesh or annotations.get(MESH_LABEL)
    return _Envelope(
        type=data.get("kind"),
        mesh=mesh,
        name=metadata.get("name"),
        labels=labels,
        created=metadata.get("creationTimestamp"),
        modified=None,
        body=data.get("spec"),
        prefix="spec",
    )


def _object(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _type(given: Any, key: ResourceKey | None, violations: list[Violation]) -> ResourceType | None:
    name = given if given is not None or key is None else key.type
    if not isinstance(name, str) or not name:
        violations.append(Violation("type", CANNOT_BE_EMPTY if not name else "must be a string"))
        return None
    type_ = TYPES.get(name)
    if type_ is None:
        near = suggest_type(name)
        written = ", ".join(each.name for each in TYPES.values() if not each.read_only)
        hint = f'; did you mean "{near}"?' if near else f"; known are {written}"
        violations.append(Violation("type", f'unknown resource type "{name}"{hint}'))
        return None
    if key is not None and name != key.type:
        violations.append(Violation("type", "type from the URL has to be the same as in body"))
    return type_


def _identity(field: str, given: Any, expected: str, violations: list[Violation]) -> str:
    """The name or mesh of the resource; `expected` is that of the URL, if there is one."""
    value = expected if given is None else given
    if not isinstance(value, str):
        violations.append(Violation(field, "must be a string; put it in quotes"))
        return ""
    problem = name_problem(value)
    if problem:
        violations.append(Violation(field, problem))
    elif expected and value != expected:
        violations.append(Violation(field, f"{field} from the URL has to be the same as in body"))
    return value


def _labels(given: Any, violations: list[Violation]) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        violations.append(Violation("labels", "must be an object"))
        return {}
    for key, value in given.items():
        if not isinstance(key, str):
            violations.append(Violation("labels", f"the key {key!r} must be a string; put it in quotes"))
        elif not key:
            violations.append(Violation("labels", "label name must be non-empty"))
        elif not isinstance(value, str):
            violations.append(Violation(f'labels["{key}"]', "must be a string; put it in quotes"))
    return dict(given)


def _time(field: str, given: Any, violations: list[Violation]) -> datetime:
    if given is None:
        return NEVER
    try:
        return parse_time(given)
    except ValueError:
        violations.append(Violation(field, "must be an RFC 3339 time"))
        return NEVER


def _spec(
    type_: ResourceType, data: Mapping[str, Any], envelope: _Envelope, violations: list[Violation]
) -> Spec | None:
    body = {} if envelope.body is None else envelope.body
    if not isinstance(body, dict):
        violations.append(Violation("spec", "must be an object"))
        return None
    if envelope.prefix:
        _check_strangers(type_, data, violations)
    parsed = check(type_.spec, body, type_.rules)
    prefix = envelope.prefix or ("spec" if type_.nested_spec and not body else "")
    for violation in parsed.violations:
        message = violation.message
        if not prefix and violation.field in body and message.startswith("unknown field"):
            message = unknown_field(type_.spec, violation.field, *_ENVELOPE_FIELDS)
        violations.append(Violation(join(prefix, violation.field), message))
    return parsed.spec


def _check_strangers(type_: ResourceType, data: Mapping[str, Any], violations: list[Violation]) -> None:
    """Fields beside `spec` that are not of the envelope."""
    known = _KUBERNETES_FIELDS if "apiVersion" in data else _ENVELOPE_FIELDS
    for field in data:
        if field in known or field in _SILENT_FIELDS:
            continue
        if is_field(type_.spec, field):
            violations.append(Violation(field, 'has to be under "spec", where the other fields are'))
        else:
            violations.append(Violation(str(field), unknown_field(Spec, str(field), *known)))
