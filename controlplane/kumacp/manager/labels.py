"""Labels that the control plane adds to every resource (contract 9.2)."""

from __future__ import annotations

from dataclasses import replace

from kumamesh import names
from kumamesh.resource import Resource


def labelled(resource: Resource) -> Resource:
    """With the mesh as a label, where there is one: selectors and Kubernetes objects find it there."""
    if not resource.mesh:
        return resource
    return replace(resource, labels={**resource.labels, names.MESH_LABEL: resource.mesh})
