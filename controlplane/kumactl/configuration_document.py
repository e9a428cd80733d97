"""The configuration file as a document (contract 9.7)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kumactl.configuration import Configuration, Context, ControlPlane
from kumamesh.errors import UserError
from kumamesh.settings import suggestion

HIDDEN = "*****"


class _Reader:
    """One object of the document: every field by type, and no field that is not known."""

    def __init__(self, node: object, path: str, *known: str) -> None:
        if not isinstance(node, Mapping):
            raise UserError(f"the configuration file is wrong: {path or 'the document'} must be an object")
        self._node, self._path = node, path
        for key in node:
            if key not in known:
                hint = suggestion(str(key), known)
                raise UserError(f"the configuration file is wrong: unknown key {self._join(key)}{hint}")

    def text(self, key: str) -> str:
        value = self._node.get(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a text")
        return value or ""

    def flag(self, key: str) -> bool:
        value = self._node.get(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "true or false")
        return bool(value)

    def items(self, key: str, *known: str) -> list[_Reader]:
        value = self._node.get(key) or []
        if not isinstance(value, list):
            raise self._wrong(key, "a list")
        return [_Reader(item, f"{self._join(key)}[{n}]", *known) for n, item in enumerate(value)]

    def child(self, key: str, *known: str) -> _Reader:
        return _Reader(self._node.get(key) or {}, self._join(key), *known)

    def texts(self, key: str) -> dict[str, str]:
        value = self._node.get(key) or {}
        if not isinstance(value, Mapping) or not all(isinstance(item, str) for item in value.values()):
            raise self._wrong(key, "an object of texts")
        return dict(value)

    def _join(self, key: object) -> str:
        return f"{self._path}.{key}" if self._path else str(key)

    def _wrong(self, key: str, wanted: str) -> UserError:
        return UserError(f"the configuration file is wrong: {self._join(key)} must be {wanted}")


def from_document(document: object) -> Configuration:
    """Raises UserError that names the path of what is wrong."""
    root = _Reader(document, "", "controlPlanes", "contexts", "currentContext")
    return Configuration(
        tuple(_plane(item) for item in root.items("controlPlanes", "name", "coordinates")),
        tuple(_context(item) for item in root.items("contexts", "name", "controlPlane", "defaults")),
        root.text("currentContext"),
    )


def _plane(reader: _Reader) -> ControlPlane:
    server = reader.child("coordinates", "apiServer").child(
        "apiServer",
        "url",
        "caCertFile",
        "skipVerify",
        "clientCertFile",
        "clientKeyFile",
        "headers",
        "authType",
        "authConf",
    )
    return ControlPlane(
        name=reader.text("name"),
        url=server.text("url"),
        ca_cert_file=server.text("caCertFile"),
        skip_verify=server.flag("skipVerify"),
        client_cert_file=server.text("clientCertFile"),
        client_key_file=server.text("clientKeyFile"),
        headers={item.text("key"): item.text("value") for item in server.items("headers", "key", "value")},
        auth_type=server.text("authType"),
        auth_conf=server.texts("authConf"),
    )


def _context(reader: _Reader) -> Context:
    mesh = reader.child("defaults", "mesh").text("mesh")
    return Context(reader.text("name"), reader.text("controlPlane"), mesh)


def to_document(configuration: Configuration, *, hide_secrets: bool = False) -> dict[str, Any]:
    """The file's shape; empty things are left out."""
    return {
        "controlPlanes": [_plane_document(item, hide_secrets) for item in configuration.control_planes],
        "contexts": [_context_document(item) for item in configuration.contexts],
        "currentContext": configuration.current_context,
    }


def _plane_document(plane: ControlPlane, hide_secrets: bool) -> dict[str, Any]:
    def shown(pairs: Mapping[str, str]) -> dict[str, str]:
        return {key: HIDDEN if hide_secrets else value for key, value in pairs.items()}

    server: dict[str, Any] = {
        "url": plane.url,
        "caCertFile": plane.ca_cert_file,
        "skipVerify": plane.skip_verify,
        "clientCertFile": plane.client_cert_file,
        "clientKeyFile": plane.client_key_file,
        "headers": [{"key": key, "value": value} for key, value in shown(plane.headers).items()],
        "authType": plane.auth_type,
        "authConf": shown(plane.auth_conf),
    }
    kept = {key: value for key, value in server.items() if value}
    return {"name": plane.name, "coordinates": {"apiServer": kept}}


def _context_document(context: Context) -> dict[str, Any]:
    document: dict[str, Any] = {"name": context.name, "controlPlane": context.control_plane}
    if context.mesh:
        document["defaults"] = {"mesh": context.mesh}
    return document
