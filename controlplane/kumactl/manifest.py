"""Texts with resources in every form that people keep them in: flat, under `spec`, as Kubernetes objects, one
or many, also in lists."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from kumactl.answer import section, text
from kumactl.failure import bullet
from kumamesh.errors import UserError
from kumamesh.names import DEFAULT_MESH, MESH_LABEL
from kumamesh.resource import InvalidResource, Resource, Violation
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest
from kumamesh.resources.yamldoc import MAX_DEPTH, load_documents
from kumamesh.template import render

_SECRET_TYPES = {"system.kuma.io/secret": "Secret", "system.kuma.io/global-secret": "GlobalSecret"}
"""Types of the Kubernetes Secrets that stand for resources."""

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Source:
    """A text, and the name that messages give it. The text may hold secrets."""

    name: str
    text: str

    def __repr__(self) -> str:
        return f"Source({self.name!r})"


@dataclass(frozen=True, slots=True)
class Entry:
    """A resource, and the place that messages about it name."""

    place: str
    resource: Resource


def read_manifest(source: Source, variables: Mapping[str, str], mesh: str = DEFAULT_MESH) -> list[Entry]:
    """The resources of a text; `mesh` is that of those which name none. Raises UserError that names the
    source and, when there are several, the document."""
    rendered = render(source.text, variables, source.name).text
    documents = _json_list(rendered, source.name)
    if documents is None:
        documents = load_documents(rendered, source.name)
    several = len(documents) > 1
    entries = []
    for number, document in enumerate(documents, 1):
        place = f"{source.name}, document {number}" if several else source.name
        for where, resource in _spread(place, document):
            entries.append(Entry(where, _resource(resource, where, mesh)))
    return entries


def _json_list(rendered: str, name: str) -> list[Any] | None:
    """The documents of a JSON list, None for any other text."""
    if not rendered.lstrip().startswith("["):
        return None
    try:
        found = json.loads(rendered, object_pairs_hook=_without_twins, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise UserError(f"{name}:{error.lineno}:{error.colno}: not a list in JSON: {error.msg}") from None
    except ValueError as error:
        raise UserError(f"{name}: {error}") from None
    except RecursionError:
        raise UserError(f"{name}: nested more than {MAX_DEPTH} levels deep") from None
    assert isinstance(found, list)
    return found


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f'the key "{key}" is given twice in one object')
        found[key] = value
    return found


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number in JSON")


def _spread(place: str, document: object) -> Iterator[tuple[str, Document]]:
    """The document, or what it lists: `kind: List` of Kubernetes, and what `kumactl get -o yaml` prints."""
    if not isinstance(document, Mapping):
        raise UserError(f"{place}: a document must be an object with type and name")
    items = document.get("items")
    if "type" in document or not isinstance(items, list):
        yield place, document
        return
    for number, item in enumerate(items, 1):
        if not isinstance(item, Mapping):
            raise UserError(f"{place}, item {number}: must be an object with type and name")
        yield f"{place}, item {number}", item


def _resource(document: Document, place: str, mesh: str) -> Resource:
    try:
        universal = _flat_secret(document) if _is_secret(document) else dict(document)
        type_ = TYPES.get(text(universal, "kind" if "apiVersion" in universal else "type"))
        if type_ is not None and type_.mesh_scoped and not _names_mesh(universal):
            universal["mesh"] = mesh
        return from_rest(universal)
    except InvalidResource as error:
        lines = [bullet(violation.field, violation.message) for violation in error.violations]
        raise UserError("\n".join([f"{place}: Resource is not valid", *lines])) from None


def _names_mesh(document: Document) -> bool:
    if "apiVersion" not in document:
        return document.get("mesh") is not None
    metadata = section(document, "metadata")
    known_by = (section(metadata, "labels"), section(metadata, "annotations"))
    return bool(document.get("mesh")) or any(MESH_LABEL in each for each in known_by)


def _is_secret(document: Document) -> bool:
    """Whether it is a Secret of Kubernetes itself; there are Secrets in the form of the other types, too."""
    return (document.get("apiVersion"), document.get("kind")) == ("v1", "Secret")


def _flat_secret(document: Document) -> dict[str, Any]:
    """The flat form of a Kubernetes Secret; raises InvalidResource."""
    type_ = _SECRET_TYPES.get(text(document, "type"))
    if type_ is None:
        known = " or ".join(_SECRET_TYPES)
        raise InvalidResource((Violation("type", f"must be {known}, or it is no secret of the mesh"),))
    metadata = section(document, "metadata")
    labels = dict(section(metadata, "labels"))
    mesh = labels.pop(MESH_LABEL, None)
    flat = {"type": type_, "name": metadata.get("name"), "data": _secret_data(document)}
    if mesh is not None and TYPES[type_].mesh_scoped:
        flat["mesh"] = mesh
    return flat | ({"labels": labels} if labels else {})


def _secret_data(document: Document) -> str:
    """The value in base 64, as `data` has it; `stringData` wins, as it does in Kubernetes."""
    plain = section(document, "stringData").get("value")
    if isinstance(plain, str):
        return base64.b64encode(plain.encode()).decode()
    encoded = section(document, "data").get("value")
    if not isinstance(encoded, str):
        raise InvalidResource((Violation("data.value", "cannot be empty"),))
    try:
        base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidResource((Violation("data.value", "must be in base 64"),)) from None
    return encoded
