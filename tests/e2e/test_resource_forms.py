"""Resources are taken as plain YAML and as Kubernetes objects, and mean the same to real proxies."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from lab import ControlPlane, Lab, Sidecar, dataplane, eventually, free_port, http

ITEMS = {
    "Mesh": "/meshes/default",
    "TrafficPermission": "/meshes/default/traffic-permissions/allow-all-default",
    "MeshTrafficPermission": "/meshes/default/meshtrafficpermissions/only-web",
}

PLAIN = """
type: Mesh
name: default
mtls:
  enabledBackend: ca-1
  backends:
  - name: ca-1
    type: builtin
---
type: TrafficPermission
mesh: default
name: allow-all-default
sources: [{match: {kuma.io/service: "*"}}]
destinations: [{match: {kuma.io/service: backend}}]
---
type: MeshTrafficPermission
mesh: default
name: only-web
spec:
  targetRef: {kind: Mesh}
  from:
  - targetRef: {kind: MeshService, name: web}
    default: {action: Allow}
"""

UNDER_SPEC = """
type: Mesh
name: default
spec:
  mtls:
    enabledBackend: ca-1
    backends:
    - name: ca-1
      type: builtin
---
type: TrafficPermission
mesh: default
name: allow-all-default
spec:
  sources: [{match: {kuma.io/service: "*"}}]
  destinations: [{match: {kuma.io/service: backend}}]
---
type: MeshTrafficPermission
mesh: default
name: only-web
spec:
  targetRef: {kind: Mesh}
  from:
  - targetRef: {kind: MeshService, name: web}
    default: {action: Allow}
"""

KUBERNETES = """
apiVersion: kuma.io/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  mtls:
    enabledBackend: ca-1
    backends:
    - name: ca-1
      type: builtin
---
apiVersion: kuma.io/v1alpha1
kind: TrafficPermission
mesh: default
metadata: {name: allow-all-default}
spec:
  sources: [{match: {kuma.io/service: "*"}}]
  destinations: [{match: {kuma.io/service: backend}}]
---
apiVersion: kuma.io/v1alpha1
kind: MeshTrafficPermission
metadata:
  name: only-web
  labels: {kuma.io/mesh: default}
spec:
  targetRef: {kind: Mesh}
  from:
  - targetRef: {kind: MeshService, name: web}
    default: {action: Allow}
"""


def _stored(plane: ControlPlane) -> dict[str, Any]:
    """The resources as the control plane has them, without what says when they were written."""
    found = {type_: plane.get(path) for type_, path in ITEMS.items()}
    for document in found.values():
        for field in ("creationTime", "modificationTime"):
            document.pop(field)
    return found


def _client(lab: Lab, plane: ControlPlane, service: str) -> tuple[Sidecar, int]:
    port = free_port()
    document = dataplane(f"{service}-1", service, app_port=free_port(), outbounds={"backend": port})
    return lab.sidecar(plane, document).ready(), port


def _status(port: int) -> int:
    return http("GET", f"http://127.0.0.1:{port}/")[0]


@pytest.mark.promise("I16", part="whole")
def test_three_forms_of_one_resource_are_stored_alike_and_govern_real_traffic(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    app_port = free_port()
    mesh_lab.app("http", "backend-1", app_port)
    mesh_lab.sidecar(plane, dataplane("backend-1", "backend", app_port=app_port)).ready()
    _, allowed = _client(mesh_lab, plane, "web")
    _, denied = _client(mesh_lab, plane, "stranger")
    stored = []
    for form in (PLAIN, UNDER_SPEC, KUBERNETES):
        plane.kumactl("apply", "-f", "-", stdin=form)
        eventually(lambda: (_status(allowed), _status(denied)) == (200, 403), "web alone to be let in")
        stored.append(_stored(plane))
        plane.delete(ITEMS["MeshTrafficPermission"])
        eventually(lambda: _status(denied) == 200, "everybody to be let in by the TrafficPermission")
    assert stored[0] == stored[1] == stored[2]
    assert stored[0]["MeshTrafficPermission"]["spec"]["from"]
    assert stored[0]["Mesh"]["mtls"]["enabledBackend"] == "ca-1"


@pytest.mark.promise("I16", part="whole")
def test_what_is_shown_as_kubernetes_objects_comes_back_the_same(mesh_lab: Lab) -> None:
    plane = mesh_lab.control_plane()
    plane.kumactl("apply", "-f", "-", stdin=PLAIN)
    app_port = free_port()
    mesh_lab.app("http", "backend-1", app_port)
    mesh_lab.sidecar(plane, dataplane("backend-1", "backend", app_port=app_port)).ready()
    _, port = _client(mesh_lab, plane, "web")
    eventually(lambda: _status(port) == 200, "an answer")
    before = _stored(plane)
    shown = {type_: plane.get(f"{path}?format=kubernetes") for type_, path in ITEMS.items()}
    for type_, document in shown.items():
        assert (document["apiVersion"], document["kind"]) == ("kuma.io/v1alpha1", type_)
        assert document["metadata"]["name"] == before[type_]["name"]
    plane.delete(ITEMS["MeshTrafficPermission"])
    plane.delete(ITEMS["TrafficPermission"])
    eventually(lambda: _status(port) == 403, "nobody to be let in")
    plane.kumactl("apply", "-f", "-", stdin="---\n".join(yaml.safe_dump(one) for one in shown.values()))
    eventually(lambda: _status(port) == 200, "web to be let in again")
    assert _stored(plane) == before
    as_json = json.dumps(shown["TrafficPermission"])
    assert "Updated" in plane.kumactl("apply", "-f", "-", stdin=as_json)
