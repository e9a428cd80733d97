"""JSON schemas of what the API takes and gives: resources from their models, the rest by hand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaWarningKind

from kumamesh.resources.base import Spec
from kumamesh.resources.registry import TYPES, ResourceType

Schema = dict[str, Any]

_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_LABELS: Schema = {"type": "object", "additionalProperties": _TEXT}
_NOISE = frozenset({"title", "default"})


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def components() -> dict[str, Schema]:
    """All named schemas."""
    found: dict[str, Schema] = dict(_BY_HAND)
    for type_ in TYPES.values():
        found |= _of_type(type_)
    return found


class _Generator(GenerateJsonSchema):
    """Keeps silent on defaults that no JSON can say: they are all absent or empty."""

    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        if kind != "non-serializable-default":
            super().emit_warning(kind, detail)


def model_schema(model: type[Spec]) -> tuple[Schema, dict[str, Schema]]:
    """The schema of a model and those that it refers to, by their names in the model."""
    schema = model.model_json_schema(
        mode="serialization", ref_template="{model}", schema_generator=_Generator
    )
    parts = {name: _tidy(each) for name, each in schema.pop("$defs", {}).items()}
    return _tidy(schema), parts


def shown(type_: ResourceType) -> Schema:
    """A resource as an answer gives it."""
    mesh = ["mesh"] if type_.mesh_scoped else []
    required = ["type", *mesh, "name", "creationTime", "modificationTime"]
    return {"allOf": [ref(type_.name), {"required": required}]}


def overview(type_: ResourceType) -> Schema:
    """A proxy or zone with its insight."""
    part = type_.name[0].lower() + type_.name[1:]
    return {
        "type": "object",
        "required": ["type", "name", "creationTime", "modificationTime", part],
        "properties": {
            **_envelope(type_),
            "type": {"const": f"{type_.name}Overview"},
            part: {"type": "object"},
            f"{part}Insight": {"type": "object"},
        },
        "additionalProperties": False,
    }


def page_of(item: Schema) -> Schema:
    """A list of items."""
    return {
        "type": "object",
        "required": ["total", "items", "next"],
        "properties": {
            "total": _COUNT,
            "items": {"type": "array", "items": item},
            "next": {"type": ["string", "null"], "description": "Where the next items are"},
        },
        "additionalProperties": False,
    }


def token_order(kind: str) -> Schema:
    """The body that a token is made of."""
    texts: Schema = {"type": "array", "items": _TEXT}
    valid_for: Schema = {"type": "string", "examples": ["24h"], "description": "How long the token holds"}
    fields: Mapping[str, tuple[list[str], dict[str, Schema]]] = {
        "dataplane": (
            ["mesh"],
            {
                "name": _TEXT,
                "mesh": _TEXT,
                "tags": {"type": "object", "additionalProperties": texts},
                "type": {"type": "string", "enum": ["", "dataplane"]},
                "workload": _TEXT,
            },
        ),
        "zone": (
            ["scope"],
            {
                "zone": _TEXT,
                "scope": {"type": "array", "items": {"enum": ["ingress", "egress"]}, "minItems": 1},
            },
        ),
        "user": (["name", "validFor"], {"name": _TEXT, "groups": texts}),
    }
    required, properties = fields[kind]
    return {
        "type": "object",
        "required": required,
        "properties": {**properties, "validFor": valid_for},
        "additionalProperties": False,
    }


def _of_type(type_: ResourceType) -> dict[str, Schema]:
    """The resource and what its body is made of, each named `<Type>.<Part>`."""
    schema, parts = model_schema(type_.spec)
    named = {f"{type_.name}.{name}": _qualified(part, type_.name) for name, part in parts.items()}
    body = _qualified(schema, type_.name)
    fields = {"spec": body} if type_.nested_spec else body.get("properties", {})
    whole = body | {"type": "object", "properties": {**_envelope(type_), **fields}}
    return {type_.name: whole, **named}


def _envelope(type_: ResourceType) -> dict[str, Schema]:
    mesh = {"mesh": _TEXT} if type_.mesh_scoped else {}
    kri = {"kri": {"type": "string", "readOnly": True}} if type_.short_name else {}
    return {
        "type": {"const": type_.name},
        **mesh,
        "name": _TEXT,
        "labels": _LABELS,
        "creationTime": _TIME,
        "modificationTime": _TIME,
        **kri,
    }


def _tidy(schema: Any) -> Any:
    """Without what says nothing to a reader: titles, defaults, and null, which means absent."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "properties" in schema:
        properties = {name: _tidy(field) for name, field in schema["properties"].items()}
        rest = {key: _tidy(value) for key, value in schema.items() if key not in _NOISE | {"properties"}}
        return {**rest, "properties": properties}
    choices = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    tidy = {key: _tidy(value) for key, value in schema.items() if key not in _NOISE | {"anyOf"}}
    if schema.get("default") and isinstance(schema["default"], str | int):
        tidy["default"] = schema["default"]
    if len(choices) == 1:
        return tidy | _tidy(choices[0])
    return tidy | ({"anyOf": _tidy(choices)} if choices else {})


def _qualified(schema: Any, type_: str) -> Any:
    """With references that are good in the whole document."""
    if isinstance(schema, list):
        return [_qualified(each, type_) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: f"#/components/schemas/{type_}.{value}" if key == "$ref" else _qualified(value, type_)
        for key, value in schema.items()
    }


def _pairs(first: str, second: str) -> Schema:
    properties = {first: _TEXT, second: _TEXT}
    return {
        "type": "array",
        "items": {"type": "object", "required": [first, second], "properties": properties},
    }


_BY_HAND: Mapping[str, Schema] = {
    "Error": {
        "type": "object",
        "description": "What went wrong: `detail` for people, `invalid_parameters` with every wrong field.",
        "required": ["type", "status", "title", "detail", "details"],
        "properties": {
            "type": {"const": "/std-errors"},
            "status": {"type": "integer", "minimum": 400, "maximum": 599},
            "title": _TEXT,
            "detail": _TEXT,
            "details": {"type": "string", "description": "The same as `detail`, for old clients"},
            "invalid_parameters": _pairs("field", "reason"),
            "causes": _pairs("field", "message"),
        },
        "additionalProperties": False,
    },
    "Written": {
        "type": "object",
        "description": "A write that was done, with what the writer should know of it.",
        "properties": {"warnings": {"type": "array", "items": _TEXT, "minItems": 1}},
        "additionalProperties": False,
    },
    "KubernetesResource": {
        "type": "object",
        "description": "Any resource in the shape of Kubernetes.",
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "kuma.io/v1alpha1"},
            "kind": {"enum": sorted(TYPES)},
            "mesh": _TEXT,
            "metadata": {
                "type": "object",
                "required": ["name"],
                "properties": {
                    "name": _TEXT,
                    "namespace": _TEXT,
                    "labels": _LABELS,
                    "creationTimestamp": _TIME,
                },
            },
            "spec": {"type": "object"},
        },
        "additionalProperties": False,
    },
    "Service": {
        "type": "object",
        "description": "The state of one service of a mesh.",
        "required": ["type", "mesh", "name", "status", "dataplanes", "serviceType"],
        "properties": {
            "type": {"const": "ServiceInsight"},
            "mesh": _TEXT,
            "name": _TEXT,
            "creationTime": _TIME,
            "modificationTime": _TIME,
            "status": {"enum": ["online", "offline", "partially_degraded", "not_available"]},
            "dataplanes": {
                "type": "object",
                "properties": dict.fromkeys(("total", "online", "offline"), _COUNT),
            },
            "issuedBackends": {"type": "object", "additionalProperties": _COUNT},
            "serviceType": {"enum": ["internal", "external", "gateway_delegated", "gateway_builtin"]},
            "addressPort": _TEXT,
            "zones": {"type": "array", "items": _TEXT},
        },
        "additionalProperties": False,
    },
}
