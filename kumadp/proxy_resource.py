"""The proxy's resource as the user gives it: YAML, type, identity (kuma-dp 1.3)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kumamesh.errors import UserError, one_line
from kumamesh.resources.yamldoc import load_documents

KIND_OF = {"dataplane": "Dataplane", "ingress": "ZoneIngress", "egress": "ZoneEgress"}
_ZERO_TIME = "0001-01-01T00:00:00Z"


@dataclass(frozen=True, slots=True)
class ProxyResource:
    """The document that travels in the bootstrap request."""

    document: Mapping[str, Any]

    @property
    def mesh(self) -> str:
        return str(self.document.get("mesh", ""))

    @property
    def name(self) -> str:
        return str(self.document["name"])

    @property
    def admin_port(self) -> int:
        """Port that the user chose for Envoy's admin interface, or 0."""
        admin = _networking(self.document).get("admin")
        return int(admin.get("port") or 0) if isinstance(admin, Mapping) else 0

    @property
    def redirected(self) -> bool:
        """Whether it says itself that the host's traffic is redirected to the proxy."""
        return bool(_networking(self.document).get("transparentProxying"))

    @property
    def redirect_ports(self) -> tuple[int, ...]:
        """Where to, as far as the control plane may find nothing wrong with it."""
        proxying = _networking(self.document).get("transparentProxying")
        named = proxying if isinstance(proxying, Mapping) else {}
        ports = (named.get("redirectPortOutbound"), named.get("redirectPortInbound"))
        return tuple(port for port in ports if type(port) is int and 0 < port <= 65_535)

    def with_admin_port(self, port: int) -> ProxyResource:
        networking = dict(_networking(self.document))
        admin = networking.get("admin") or {}
        if not isinstance(admin, Mapping):
            return self  # the control plane will name this fault
        networking["admin"] = {**admin, "port": port}
        return ProxyResource({**self.document, **_placed(self.document, networking)})

    def to_wire(self) -> str:
        """JSON text in the form of the REST interface (contract 1.2)."""
        head = {"creationTime": _ZERO_TIME, "modificationTime": _ZERO_TIME}
        return json.dumps({**head, **self.document})


def parse_resource(text: str, proxy_type: str, source: str) -> ProxyResource:
    """The one document in the text, with its type and identity checked; everything else is for the control
    plane to judge, which knows the rules and answers with all violations at once."""
    documents = load_documents(text, source)
    if len(documents) != 1:
        raise UserError(f"{source}: one resource is needed, this has {len(documents)}")
    document = dict(documents[0])
    kind, wanted = document.get("type"), KIND_OF[proxy_type]
    if kind != wanted:
        given = one_line(str(kind or "missing"))
        raise UserError(f"{source}: the type is {given}, but --proxy-type={proxy_type} needs {wanted}")
    if not document.get("name") or not isinstance(document["name"], str):
        raise UserError(f"{source}: the resource needs a name")
    if not isinstance(_networking(document), Mapping):
        raise UserError(f"{source}: networking must be a mapping")
    _check_admin_port(document, source)
    if proxy_type == "dataplane":
        document["mesh"] = document.get("mesh") or "default"
    else:
        document.pop("mesh", None)
    return ProxyResource(document)


def _check_admin_port(document: Mapping[str, Any], source: str) -> None:
    """This one is ours to judge: the agent takes the port, or chooses one, before it asks anybody."""
    admin = _networking(document).get("admin")
    port = (admin.get("port") or 0) if isinstance(admin, Mapping) else 0
    if not isinstance(port, int) or isinstance(port, bool) or not 0 <= port <= 65_535:
        raise UserError(f"{source}: networking.admin.port must be a number from 0 to 65535, not {port!r}")


def _networking(document: Mapping[str, Any]) -> Any:
    """`networking`, which is nested in `spec` when the resource was written that way."""
    spec = document.get("spec")
    return (spec if isinstance(spec, Mapping) else document).get("networking") or {}


def _placed(document: Mapping[str, Any], networking: Mapping[str, Any]) -> dict[str, Any]:
    spec = document.get("spec")
    if isinstance(spec, Mapping):
        return {"spec": {**spec, "networking": networking}}
    return {"networking": networking}
