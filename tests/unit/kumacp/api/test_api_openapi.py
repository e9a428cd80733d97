"""The table of operations and the document made of it: complete, and true to the routes (OpenAPI 3.1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema_rs
import pytest

from kumacp.api.access import Right
from kumacp.api.openapi import document, operation_id
from kumacp.api.operations import Operation, Who, operations
from kumacp.api.problem import invalid
from kumacp.api.routes import FIXED_PATHS, Kind, match
from kumacp.insights import overview
from kumamesh.resource import Violation
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest, to_kubernetes, to_shown
from resource_documents import dataplane
from resource_documents import document as resource_document

OPERATIONS = operations()
DOCUMENT = document()


def segments(template: str, **values: str) -> list[str]:
    return [part.format(**values) for part in template.strip("/").split("/") if part]


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


@pytest.mark.parametrize("operation", OPERATIONS, ids=operation_id)
def test_an_operation_is_what_its_path_means(operation: Operation) -> None:
    for template in (operation.template, *operation.also):
        route = match(segments(template, mesh="m", name="n", kri="k"))
        assert route is not None, template
        assert (route.kind, route.type) == (operation.route.kind, operation.route.type)
        assert operation.method in route.methods
    assert operation.summary
    assert {200, 400, 401, 503} <= set(operation.statuses)


def test_every_route_is_an_operation() -> None:
    described = {operation.template for operation in OPERATIONS}
    for parts in FIXED_PATHS:
        assert "/" + "/".join(parts) in described | {"/tokens"}
    for type_ in TYPES.values():
        own = [operation for operation in OPERATIONS if operation.route.type is type_]
        methods = {operation.method for operation in own}
        assert methods == ({"GET"} if type_.read_only else {"GET", "PUT", "DELETE"})
    assert {operation.route.kind for operation in OPERATIONS} == set(Kind)


def test_secrets_and_tokens_are_for_admins() -> None:
    for_admins = {operation.template for operation in OPERATIONS if operation.who is Who.ADMINS}
    assert for_admins == {
        "/tokens/dataplane",
        "/tokens/zone",
        "/tokens/user",
        "/secrets",
        "/meshes/{mesh}/secrets",
        "/meshes/{mesh}/secrets/{name}",
        "/global-secrets",
        "/global-secrets/{name}",
        "/configs",
        "/configs/{name}",
    }


def test_every_right_that_is_named_has_its_lists() -> None:
    lists = {_camel(right.name) for right in Right}
    named = {operation.right for operation in OPERATIONS} - {""}
    assert named <= lists
    assert lists - named <= {"viewConfigDump", "viewStats", "viewClusters"}


def _camel(name: str) -> str:
    first, *rest = name.lower().split("_")
    return first + "".join(word.capitalize() for word in rest)


def test_the_document_is_consistent() -> None:
    json.dumps(DOCUMENT, allow_nan=False)
    names = DOCUMENT["components"]["schemas"]
    missing = {ref for ref in references(DOCUMENT) if ref.removeprefix("#/components/schemas/") not in names}
    assert missing == set()
    ids = [operation["operationId"] for path in DOCUMENT["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for schema in names.values():
        jsonschema_rs.meta.validate(schema)


def valid(name: str, value: Any) -> bool:
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    return jsonschema_rs.is_valid(schema, json.loads(json.dumps(value)))


def test_what_the_api_shows_fits_the_schemas() -> None:
    proxy = from_rest(dataplane() | {"labels": {"a": "b"}})
    permission = {"from": [{"targetRef": {"kind": "Mesh"}, "default": {"action": "Allow"}}]}
    policy = from_rest(resource_document("MeshTrafficPermission", spec=permission))
    for resource in (proxy, policy):
        assert valid(resource.type, to_shown(resource))
        assert not valid(resource.type, to_shown(resource) | {"other": 1})
        assert valid("KubernetesResource", to_kubernetes(resource))
        assert not valid("KubernetesResource", to_shown(resource))
    assert not valid("Dataplane", to_shown(policy))
    assert "kri" in overview(proxy, None)


def test_errors_fit_their_schema() -> None:
    problem = invalid("Could not create a resource", [Violation("name", "cannot be empty")])
    assert valid("Error", problem.document())
    assert not valid("Error", problem.document() | {"trace": "x"})
    assert not valid("Error", {"title": "x"})


def test_reading_a_type_shows_its_fields_as_people_write_them() -> None:
    inbound = DOCUMENT["components"]["schemas"]["Dataplane.Inbound"]["properties"]
    assert inbound["state"] == {
        "enum": ["Ready", "NotReady", "Ignored"],
        "type": "string",
        "default": "Ready",
    }
    assert inbound["port"] == {"type": "integer", "minimum": 0}
    assert inbound["health"] == {"$ref": "#/components/schemas/Dataplane.Health"}
    assert DOCUMENT["components"]["schemas"]["Secret"]["properties"]["data"]["contentEncoding"] == "base64"
