"""xDS type URLs, the order of pushes, and a resource as it travels (DESIGN.md 3.5, 3.8)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field

CLUSTER = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTE = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
SECRET = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105
EXTENSION = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig"
RUNTIME = "type.googleapis.com/envoy.service.runtime.v3.Runtime"

UPDATE_ORDER = (CLUSTER, ENDPOINT, LISTENER, ROUTE, EXTENSION, SECRET, RUNTIME)
"""Make before break: what is referenced is sent before what refers to it."""

REMOVAL_ORDER = (LISTENER, ROUTE, CLUSTER, ENDPOINT, EXTENSION, SECRET, RUNTIME)
"""What refers to a thing goes before the thing."""


@dataclass(frozen=True, slots=True)
class XdsResource:
    """One named resource, serialised once and shared by every proxy that needs it.

    `body` is the serialised message of the type (what an Any would carry as its value), `version` a hash
    of its content, so that it is the same after a restart of the control plane. `content` is the body, or
    what makes it each time it is sent: for what is large, and different for every proxy.
    """

    type_url: str
    name: str
    version: str
    content: bytes | Callable[[], bytes] = field(repr=False)

    @property
    def body(self) -> bytes:
        return self.content if isinstance(self.content, bytes) else self.content()


def content_version(*parts: bytes) -> str:
    """Version of a resource from its content; 32 hex digits."""
    digest = hashlib.blake2b(digest_size=16)
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()
