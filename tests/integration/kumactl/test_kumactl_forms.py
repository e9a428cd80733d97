"""One resource in every form that people keep it in: what a control plane stores is the same."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.registry import TYPES
from rest_stub import configure
from running_api import Kumactl, RunningApi, running_api

NAME = "one"
MTLS = {"enabledBackend": "ca-1", "backends": [{"name": "ca-1", "type": "builtin"}]}
INBOUND = {"port": 80, "servicePort": 8080, "tags": {"kuma.io/service": "web", "kuma.io/protocol": "http"}}
MATCH = {"match": {"kuma.io/service": "web"}}
RULE = {
    "targetRef": {"kind": "MeshSubset", "tags": {"kuma.io/service": "web"}},
    "default": {"action": "Allow"},
}
SECRET = base64.b64encode(b"abc").decode()
BODIES: dict[str, dict[str, Any]] = {
    "Mesh": {"mtls": MTLS, "routing": {"zoneEgress": True}},
    "Dataplane": {"networking": {"address": "10.0.0.1", "inbound": [INBOUND]}},
    "TrafficPermission": {"sources": [MATCH], "destinations": [MATCH]},
    "MeshTrafficPermission": {"targetRef": {"kind": "Mesh"}, "from": [RULE]},
    "Secret": {"data": SECRET},
    "GlobalSecret": {"data": SECRET},
    "ZoneIngress": {"networking": {"address": "10.0.0.1", "port": 10001}},
}
LABELS = {"team": "a"}


def forms(type_: str) -> dict[str, dict[str, Any]]:
    """The documents by the name of their form."""
    mesh = {"mesh": "default"} if TYPES[type_].mesh_scoped else {}
    body = BODIES[type_]
    head = {"type": type_, **mesh, "name": NAME, "labels": LABELS}
    metadata = {"name": NAME, "namespace": "kuma-system", "labels": LABELS}
    cluster = {"apiVersion": "kuma.io/v1alpha1", "kind": type_, "spec": body}
    known = metadata | {"labels": LABELS | {"kuma.io/mesh": "default"}} if mesh else metadata
    found = {
        "flat": head | body,
        "spec": head | {"spec": body},
        "kubernetes": cluster | mesh | {"metadata": metadata},
        "kubernetes, mesh as label": cluster | {"metadata": known},
    }
    if type_ in ("Secret", "GlobalSecret"):
        kind = "secret" if type_ == "Secret" else "global-secret"
        core = {"apiVersion": "v1", "kind": "Secret", "type": f"system.kuma.io/{kind}", "metadata": known}
        found["v1 Secret"] = core | {"data": {"value": SECRET}}
    return found


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path / "cp") as running:
        configure(tmp_path, running.http_url)
        yield running


@pytest.fixture
def kumactl(tmp_path: Path) -> Kumactl:
    return Kumactl(tmp_path)


def key(type_: str) -> ResourceKey:
    return ResourceKey(type_, "default" if TYPES[type_].mesh_scoped else "", NAME)


async def stored(api: RunningApi, type_: str) -> tuple[Any, dict[str, str]]:
    found: Resource = await api.store.get(key(type_))
    return found.spec, dict(found.labels)


@pytest.mark.parametrize("type_", BODIES)
async def test_every_form_is_stored_alike(api: RunningApi, kumactl: Kumactl, type_: str) -> None:
    results = {}
    for form, document in forms(type_).items():
        text = json.dumps(document) if form == "spec" else yaml.safe_dump(document)
        applied = await kumactl("apply", "-f", "-", stdin=text)
        assert (applied.code, applied.out.endswith("Created\n")) == (0, True), (form, applied.err)
        results[form] = await stored(api, type_)
        again = await kumactl("apply", "-f", "-", stdin=text)
        assert again.out.endswith("Updated\n")
        assert await stored(api, type_) == results[form]
        await api.store.delete(key(type_))
    spec, labels = results["flat"]
    assert labels.items() >= LABELS.items()
    assert spec != TYPES[type_].spec()
    for form, result in results.items():
        assert result == (spec, labels), form


@pytest.mark.parametrize("type_", BODIES)
async def test_what_is_shown_in_any_form_can_be_applied(
    api: RunningApi, kumactl: Kumactl, tmp_path: Path, type_: str
) -> None:
    await kumactl("apply", stdin=json.dumps(forms(type_)["flat"]))
    before = await stored(api, type_)
    singular, plural = TYPES[type_].singular, TYPES[type_].plural
    one = (await kumactl("get", singular, NAME, "-o", "yaml")).out
    several = (await kumactl("get", plural, "-o", "json")).out
    exported = await kumactl("export", "--profile=all", "--include-admin", "--format=kubernetes")
    (shown,) = (
        document
        for document in yaml.safe_load_all(exported.out)
        if document["metadata"]["name"] == NAME and document["kind"] in (type_, "Secret")
    )
    if type_ == "Mesh":
        # So that the policies that are exported with it have no others beside them.
        assert shown["spec"].pop("skipCreatingInitialPolicies") == ["*"]
    for text in (one, several, yaml.safe_dump(shown)):
        await api.store.delete(key(type_))
        applied = await kumactl("apply", "-f", "-", stdin=text)
        assert applied.code == 0, applied.err
        assert await stored(api, type_) == before


async def test_a_list_of_several_forms(api: RunningApi, kumactl: Kumactl) -> None:
    items = [
        forms("Mesh")["flat"],
        forms("Secret")["v1 Secret"],
        forms("MeshTrafficPermission")["kubernetes"],
    ]
    for text in (json.dumps(items), yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})):
        applied = await kumactl("apply", "-f", "-", stdin=text)
        assert applied.code == 0, applied.err
        assert [line.split()[1] for line in applied.out.splitlines()] == [
            *('type="Mesh"', 'type="Secret"', 'type="MeshTrafficPermission"')
        ]
