"""`kumactl export`, and that another control plane can begin with what it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.registry import TYPES
from rest_stub import configure, rest_stub
from running_api import Kumactl, RunningApi, running_api

RESOURCES = """
type: Mesh
name: default
mtls:
  enabledBackend: ca-1
  backends: [{name: ca-1, type: builtin}]
---
type: Mesh
name: other
---
{type: Dataplane, mesh: default, name: web-1, networking: {address: 10.0.0.1, inbound: [
  {port: 80, tags: {kuma.io/service: web}}]}}
---
{type: TrafficPermission, mesh: other, name: tp, sources: [{match: {kuma.io/service: web}}],
 destinations: [{match: {kuma.io/service: "*"}}]}
---
type: MeshTrafficPermission
mesh: other
name: mtp
labels: {team: a, "no": "yes"}
spec: {targetRef: {kind: Mesh}, from: [{targetRef: {kind: Mesh}, default: {action: Allow}}]}
---
{type: Secret, mesh: other, name: key, data: YWJj}
---
{type: GlobalSecret, name: envoy-admin-ca, data: YWJj}
---
{type: ZoneEgress, name: ze, networking: {address: 10.0.0.1, port: 10002}}
"""


async def filled(api: RunningApi, home: Path) -> Kumactl:
    configure(home, api.http_url)
    kumactl = Kumactl(home)
    applied = await kumactl("apply", "-f", "-", stdin=RESOURCES)
    assert applied.code == 0, applied.err
    return kumactl


async def everything(api: RunningApi) -> dict[ResourceKey, tuple[Any, dict[str, str]]]:
    found: list[Resource] = []
    for type_ in TYPES.values():
        if not type_.read_only:
            found += await api.store.list(type_.name)
    return {each.key: (each.spec, dict(each.labels)) for each in found}


def named(text: str) -> list[tuple[str, str]]:
    return [
        (document.get("type") or document["kind"], document.get("name") or document["metadata"]["name"])
        for document in yaml.safe_load_all(text)
    ]


@pytest.mark.parametrize("form", ["universal", "kubernetes"])
async def test_another_control_plane_begins_with_an_export(tmp_path: Path, form: str) -> None:
    async with running_api(tmp_path / "one") as one:
        kumactl = await filled(one, tmp_path)
        exported = await kumactl("export", "--profile", "all", "-a", "--format", form)
        assert (exported.code, exported.err) == (0, "")
        before = await everything(one)
    async with running_api(tmp_path / "two") as two:
        configure(tmp_path, two.http_url)
        applied = await kumactl("apply", "-f", "-", stdin=exported.out)
        assert (applied.code, "Error" in applied.err) == (0, False), applied.err
        after = await everything(two)
        again = await kumactl("export", "--profile", "all", "-a", "--format", form)
    # Each control plane keeps this one to itself.
    own = ResourceKey("GlobalSecret", "", "envoy-admin-ca")
    assert before.pop(own) != after.pop(own)
    assert after.keys() == before.keys()
    for resource, (spec, labels) in before.items():
        written = {"skip_creating_initial_policies": ("*",)} if resource.type == "Mesh" else {}
        found, found_labels = after[resource]
        assert found == spec.model_copy(update=written), resource
        assert found_labels.items() >= labels.items(), resource
        # Besides, there is what a control plane adds to resources that it is given.
        assert all(label.startswith("kuma.io/") for label in found_labels.keys() - labels.keys()), resource
    assert named(again.out) == named(exported.out)


async def test_the_profiles(tmp_path: Path) -> None:
    async with running_api(tmp_path / "one") as one:
        kumactl = await filled(one, tmp_path)
        outputs = {}
        for profile in ("federation", "federation-with-policies", "no-dataplanes", "all"):
            ran = await kumactl("export", "-p", profile)
            assert (ran.code, ran.err) == (0, "")
            outputs[profile] = named(ran.out)
        assert (await kumactl("export")).out == (
            await kumactl("export", "-p", "federation", "-f", "universal")
        ).out
    federation = outputs["federation"]
    assert federation[:2] == [("Mesh", "default"), ("Mesh", "other")]
    assert {kind for kind, _ in federation} == {"Mesh", "Secret", "TrafficPermission", "GlobalSecret"}
    assert ("Secret", "default.ca-builtin-key-ca-1") in federation
    assert ("GlobalSecret", "admin-user-token") in federation
    assert federation[-1] == ("GlobalSecret", "user-token-signing-key-1")
    assert sorted(outputs["federation-with-policies"]) == sorted(
        [*federation, ("MeshTrafficPermission", "mtp")]
    )
    assert {kind for kind, _ in outputs["no-dataplanes"]} == {
        *("Mesh", "TrafficPermission", "MeshTrafficPermission", "ZoneEgress")
    }
    assert sorted(outputs["all"]) == sorted([*outputs["no-dataplanes"], ("Dataplane", "web-1")])


async def test_the_text_says_where_it_comes_from(tmp_path: Path) -> None:
    async with running_api(tmp_path / "one") as one:
        kumactl = await filled(one, tmp_path)
        first, second = (await kumactl("export")).out.splitlines()[:2]
    assert re.fullmatch(
        r"# Product: Kuma, Version: \S+, Hostname: host-1, ClusterId: cluster-1, InstanceId: instance-1",
        first,
    )
    assert second == "---"


INDEX = {"product": "Kuma", "version": "2.13.0", "hostname": "a\n---\ntype: Mesh\nname: injected"}
META = {"uid": "1", "resourceVersion": "2", "managedFields": [], "generation": 3}


def cluster(name: str, namespace: str) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"kuma.io/origin": "zone"}, **META}
    return {"apiVersion": "kuma.io/v1alpha1", "kind": "TrafficPermission", "metadata": metadata, "spec": {}}


async def test_kubernetes_objects_of_a_real_cluster(tmp_path: Path) -> None:
    path = "/meshes/m/traffic-permissions"
    answers: dict[str, Any] = {
        "/": INDEX,
        "/meshes": {"items": [{"type": "Mesh", "name": "m"}]},
        "/meshes/m": {"apiVersion": "kuma.io/v1alpha1", "kind": "Mesh", "metadata": {"name": "m", **META}},
        **{f"/meshes/m/{type_.path}": {"items": []} for type_ in TYPES.values() if type_.mesh_scoped},
        **{f"/{type_.path}": {"items": []} for type_ in TYPES.values() if type_.name == "GlobalSecret"},
        path: {"items": [{"type": "TrafficPermission", "mesh": "m", "name": name} for name in ("a", "b")]},
        f"{path}/a": cluster("a", "kuma-system"),
        f"{path}/b": cluster("b", "apps"),
    }
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("export", "-f", "kubernetes")
        assert (ran.code, ran.err) == (0, "")
        assert list(yaml.safe_load_all(ran.out)) == [
            {
                "apiVersion": "kuma.io/v1alpha1",
                "kind": "Mesh",
                "metadata": {"name": "m"},
                "spec": {"skipCreatingInitialPolicies": ["*"]},
            },
            {
                "apiVersion": "kuma.io/v1alpha1",
                "kind": "TrafficPermission",
                "metadata": {"name": "a", "namespace": "kuma-system"},
                "spec": {},
            },
        ]
        assert f"GET {path}/a?format=kubernetes" in stub.asked
        other = await Kumactl(tmp_path)("export", "-f", "kubernetes", "-n", "apps")
        assert named(other.out) == [("Mesh", "m"), ("TrafficPermission", "b")]
        assert f"GET {path}/a?format=kubernetes&namespace=apps" in stub.asked


async def test_secrets_whose_values_are_not_in_lists(tmp_path: Path) -> None:
    listed = {"type": "Secret", "mesh": "m", "name": "s"}
    empty: dict[str, Any] = {"items": []}
    answers: dict[str, Any] = {
        **{f"/meshes/m/{type_.path}": empty for type_ in TYPES.values() if type_.mesh_scoped},
        "/": INDEX,
        "/meshes": {"items": [{"type": "Mesh", "name": "m"}]},
        "/meshes/m/secrets": {"items": [listed]},
        "/meshes/m/secrets/s": listed | {"data": "YWJj"},
        "/global-secrets": empty,
    }
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("export")
    assert (ran.code, ran.err) == (0, "")
    assert list(yaml.safe_load_all(ran.out))[1]["data"] == "YWJj"


async def test_half_an_export_is_none(tmp_path: Path) -> None:
    answers = {"/": INDEX, "/meshes": {"items": [{"type": "Mesh", "name": "m"}]}, "/meshes/m/secrets": 403}
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("export")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "Error: the control plane answered with status 403\n"


async def test_a_control_plane_of_another_age_is_warned_of(tmp_path: Path) -> None:
    empty: dict[str, Any] = {"items": []}
    answers = {"/": INDEX | {"version": "1.0.0"}, "/meshes": empty, "/global-secrets": empty}
    async with rest_stub(answers) as stub:
        configure(tmp_path, stub.url)
        ran = await Kumactl(tmp_path)("export")
    assert ran.code == 0
    assert ran.err == "WARNING: this kumactl is of Kuma 2.13.0, the control plane of 1.0.0\n"


@pytest.mark.parametrize("flag", ["--profile", "--format"])
async def test_unknown_choices_are_one_line(tmp_path: Path, flag: str) -> None:
    ran = await Kumactl(tmp_path)("export", flag, "nonsense")
    assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
    assert "'nonsense' is not one of" in ran.err
