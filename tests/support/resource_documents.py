"""Documents of resources for tests, and what is wrong with them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kumamesh.resource import InvalidResource, ResourceKey
from kumamesh.resources.rest import from_rest

Wrong = list[tuple[str, str]]


def document(type_: str, **body: Any) -> dict[str, Any]:
    """A document of the mesh `default` named `a`."""
    return {"type": type_, "mesh": "default", "name": "a", **body}


def dataplane(**networking: Any) -> dict[str, Any]:
    """A valid Dataplane; the arguments replace fields of its networking, None takes them away."""
    fields: dict[str, Any] = {
        "address": "192.168.0.1",
        "inbound": [{"port": 8080, "tags": {"kuma.io/service": "backend"}}],
        **networking,
    }
    return document("Dataplane", networking={k: copy.deepcopy(v) for k, v in fields.items() if v is not None})


def violations(body: Any, *, key: ResourceKey | None = None) -> Wrong:
    """Paths and texts of what is wrong, in order; fails if nothing is."""
    with pytest.raises(InvalidResource) as caught:
        from_rest(body, key=key)
    return [(violation.field, violation.message) for violation in caught.value.violations]
