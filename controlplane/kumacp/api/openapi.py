"""The OpenAPI 3.1 document of the API, made of the operations and the schemas of the resources."""

from __future__ import annotations

from kumacp.api import schemas
from kumacp.api.exchange import JSON_TYPE, PROBLEM_TYPE, TEXT_TYPE
from kumacp.api.operations import Operation, Who, operations
from kumacp.api.parameters import Parameter
from kumacp.api.routes import Kind, Route
from kumacp.api.schemas import Schema, ref
from kumamesh.version import BUILD

_DESCRIPTION = (
    "Resources are read, written and deleted by name. Where GET is possible, so is HEAD. Errors have one"
    " shape, `Error`. GET of one resource answers an `ETag`, its version; PUT and DELETE with that in"
    " `If-Match` act on exactly this version, and are answered 409 when another writer was faster; GET with"
    " it in `If-None-Match` is answered 304, without a body, while nothing has changed."
)
MEANINGS = {
    200: "Done",
    201: "Created",
    304: "Nothing has changed since that version",
    400: "The request is wrong; nothing was changed",
    401: "The user token is expired, revoked or not genuine",
    403: "This user may not do that",
    404: "There is no such thing",
    405: "The API is read-only",
    408: "The body did not arrive in time",
    409: "Another writer was faster",
    413: "The body is larger than 10 MiB",
    415: "The body says that it is not JSON",
    503: "The control plane cannot do that now",
}
_PATH_PARAMETERS = {
    "mesh": "Name of the mesh",
    "name": "Name of the resource",
    "kri": "Identifier, `kri_<type>_<mesh>_<zone>_<namespace>_<name>_<section>`",
}
_TEXT_ASPECTS = frozenset({"stats", "clusters"})


def document() -> Schema:
    """The whole document."""
    paths: dict[str, Schema] = {}
    for operation in operations():
        paths.setdefault(operation.template, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Control plane", "version": BUILD.version, "description": _DESCRIPTION},
        "paths": paths,
        "security": [{}, {"userToken": []}, {"clientCertificate": []}],
        "components": {
            "schemas": schemas.components(),
            "securitySchemes": {
                "userToken": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "clientCertificate": {"type": "mutualTLS"},
            },
        },
    }


def operation_id(operation: Operation) -> str:
    """`get-meshes-mesh-dataplanes-name`"""
    words = operation.template.replace("{", "").replace("}", "").replace(".", "-").strip("/").split("/")
    return "-".join([operation.method.lower(), *words]) if words != [""] else "get-index"


def answer_schema(route: Route, method: str) -> Schema:
    """What a successful answer holds; an object of which nothing more is promised where that is enough."""
    type_ = route.type
    if type_ is None:
        return {"type": "array"} if route.kind is Kind.ZONE_STATUS else {"type": "object"}
    match route.kind:
        case Kind.LIST | Kind.MESH_INSIGHTS:
            return schemas.page_of(schemas.shown(type_))
        case Kind.OVERVIEWS:
            return schemas.page_of(schemas.overview(type_))
        case Kind.OVERVIEW:
            return schemas.overview(type_)
        case Kind.SERVICE_INSIGHTS:
            return schemas.page_of(ref("Service"))
        case Kind.SERVICE_INSIGHT:
            return {"anyOf": [ref("Service"), schemas.shown(type_)]}
        case Kind.MESH_INSIGHT:
            return schemas.shown(type_)
        case Kind.ITEM:
            if method in ("PUT", "DELETE"):
                return ref("Written")
            return {"anyOf": [schemas.shown(type_), ref("KubernetesResource")]}
    return {"type": "object"}


def _operation(operation: Operation) -> Schema:
    described: Schema = {
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "tags": [operation.route.type.name if operation.route.type else "System"],
        "responses": {str(status): _answer(operation, status) for status in operation.statuses},
    }
    notes = _notes(operation)
    if notes:
        described["description"] = notes
    parameters = [*_path_parameters(operation), *_query_parameters(operation), *_conditions(operation)]
    if parameters:
        described["parameters"] = parameters
    if operation.writes:
        described["requestBody"] = {"required": True, "content": {JSON_TYPE: {"schema": _body(operation)}}}
    return described


def _notes(operation: Operation) -> str:
    notes = []
    if operation.right:
        open_to = "Everybody" if operation.who is Who.EVERYBODY else "Admins"
        notes.append(f"{open_to} may do this, or whom `access.static.{operation.right}` names.")
    if operation.also:
        notes.append(f"The same as {' and '.join(f'`{path}`' for path in operation.also)}.")
    return " ".join(notes)


def _path_parameters(operation: Operation) -> list[Schema]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": _PATH_PARAMETERS[name],
            "schema": {"type": "string", "minLength": 1},
        }
        for name in operation.path_parameters
    ]


def _query_parameters(operation: Operation) -> list[Schema]:
    # A family of names cannot be told in OpenAPI; the description of the list does.
    return [_query_parameter(each) for each in operation.parameters if each.shown == each.name]


def _query_parameter(parameter: Parameter) -> Schema:
    schema = dict(parameter.schema)
    if parameter.repeatable:
        schema = {"type": "array", "items": schema}
    return {"name": parameter.name, "in": "query", "description": parameter.help, "schema": schema}


def _conditions(operation: Operation) -> list[Schema]:
    if operation.method in ("PUT", "DELETE"):
        name, meaning = "If-Match", "Only this version"
    elif 304 in operation.statuses:
        name, meaning = "If-None-Match", "Only another version"
    else:
        return []
    schema = {"type": "string", "examples": ['"3-62e8a1f0b2c40"']}
    return [{"name": name, "in": "header", "description": meaning, "schema": schema}]


def _body(operation: Operation) -> Schema:
    if operation.route.type is None:
        return schemas.token_order(operation.route.name)
    return {"anyOf": [ref(operation.route.type.name), ref("KubernetesResource")]}


def _answer(operation: Operation, status: int) -> Schema:
    answer: Schema = {"description": MEANINGS[status]}
    if status >= 400:
        answer["content"] = {PROBLEM_TYPE: {"schema": ref("Error")}}
        return answer
    if status != 304:
        answer["content"] = _content(operation)
    if operation.route.kind is Kind.ITEM and operation.method != "DELETE":
        answer["headers"] = {"ETag": {"description": "The version", "schema": {"type": "string"}}}
    return answer


def _content(operation: Operation) -> Schema:
    text: Schema = {TEXT_TYPE: {"schema": {"type": "string"}}}
    if operation.route.kind is Kind.TOKEN:
        return text
    if operation.route.kind is Kind.ASPECT and operation.route.aspect in _TEXT_ASPECTS:
        return {**text, JSON_TYPE: {"schema": {}}}
    return {JSON_TYPE: {"schema": answer_schema(operation.route, operation.method)}}
