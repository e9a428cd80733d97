"""What the control plane has for a proxy, as JSON, and what shadow policies would change (contract 9.4)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import jsonpatch
from google.protobuf import descriptor_pool, json_format, message_factory

from kumacp.envoyadmin.redaction import redacted
from kumacp.policy.permission import PermissionIndex
from kumacp.policy.selector import EFFECT_LABEL, is_shadow
from kumacp.xds.model import Rbac
from kumamesh.resource import Resource
from kumamesh.resources.dataplane import Inbound
from kumamesh.xds import SECRET, XdsResource

Configuration = Mapping[str, Mapping[str, XdsResource]]
"""Type URL -> name -> resource."""
Document = dict[str, Any]


class ShadowPermission:
    """Decides as if policies that are only to be inspected were real; for one proxy at one time."""

    def __init__(self) -> None:
        self._index: PermissionIndex | None = None

    def __call__(
        self,
        mesh: str,
        dataplane: Resource,
        inbound: Inbound,
        *,
        traffic_permissions: Sequence[Resource],
        mesh_traffic_permissions: Sequence[Resource],
        http: bool,
    ) -> Rbac:
        if self._index is None:
            real = map(_made_real, mesh_traffic_permissions)
            self._index = PermissionIndex(mesh, traffic_permissions, real)
        return self._index.inbound_rbac(dataplane, inbound, http=http)


def _made_real(policy: Resource) -> Resource:
    if not is_shadow(policy):
        return policy
    return replace(policy, labels={key: value for key, value in policy.labels.items() if key != EFFECT_LABEL})


def config_document(wanted: Configuration, present: Configuration | None = None) -> Document:
    """`{"xds": ...}`, types and names sorted, without secrets. With `present`, `diff` is the JSON patch that
    makes what is wanted of it."""
    shown = _shown(wanted)
    if present is None:
        return {"xds": shown}
    return {"diff": list(jsonpatch.make_patch(_shown(present), shown)), "xds": shown}


def _shown(configuration: Configuration) -> Document:
    return {
        type_url: {name: _resource(resources[name]) for name in sorted(resources)}
        for type_url, resources in sorted(configuration.items())
        if resources
    }


def _resource(resource: XdsResource) -> Document:
    name = resource.type_url.rpartition("/")[2]
    descriptor = descriptor_pool.Default().FindMessageTypeByName(name)
    message = message_factory.GetMessageClass(descriptor).FromString(resource.body)
    # Through text: numbers then are those that a client reads.
    document = json.loads(json_format.MessageToJson(message, indent=None))
    shown: Document = redacted(document, secret=resource.type_url == SECRET)
    return shown
