"""`kumactl inspect` against the real REST API, without Envoys."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from rest_stub import configure
from running_api import Kumactl, running_api

RESOURCES = """
{type: Mesh, name: default, mtls: {enabledBackend: ca-1, backends: [{name: ca-1, type: builtin}]}}
---
{type: Dataplane, mesh: default, name: web-1, networking: {address: 10.0.0.1, inbound: [
  {port: 80, servicePort: 8080, tags: {kuma.io/service: web}}]}}
---
{type: ZoneIngress, name: zi-1, networking: {address: 10.0.0.1, port: 10001}}
---
{type: MeshTrafficPermission, mesh: default, name: mtp, spec: {targetRef: {kind: Mesh}, from: [
  {targetRef: {kind: Mesh}, default: {action: Allow}}]}}
"""


@pytest.fixture
async def kumactl(tmp_path: Path) -> AsyncIterator[Kumactl]:
    async with running_api(tmp_path / "cp") as api:
        configure(tmp_path, api.http_url)
        run = Kumactl(tmp_path)
        applied = await run("apply", "-f", "-", stdin=RESOURCES)
        assert applied.code == 0, applied.err
        yield run


@pytest.mark.parametrize(
    "kind", ["dataplanes", "services", "meshes", "zones", "zoneingresses", "zoneegresses"]
)
async def test_every_list(kumactl: Kumactl, kind: str) -> None:
    for output in ("table", "yaml", "json"):
        ran = await kumactl("inspect", kind, "-o", output)
        assert (ran.code, ran.err) == (0, "")
    rows = {"dataplanes": "web-1", "services": "web", "meshes": "default", "zoneingresses": "zi-1"}
    assert rows.get(kind, "") in (await kumactl("inspect", kind)).out


async def test_policies_of_a_proxy_and_proxies_of_a_policy(kumactl: Kumactl) -> None:
    for kind, type_, name in (
        ("meshtrafficpermission", "MeshTrafficPermission", "mtp"),
        ("traffic-permission", "TrafficPermission", "allow-all-default"),
    ):
        policies = await kumactl("inspect", "dataplane", "web-1")
        assert (policies.code, policies.err) == (0, "")
        assert policies.out == f"INBOUND 10.0.0.1:80:8080(web):\n  {type_}\n    {name}\n\n"
        legacy = await kumactl("inspect", kind, name)
        assert (legacy.code, legacy.err) == (0, "")
        assert legacy.out.startswith("Affected data plane proxies:\n\n  web-1")
        short = await kumactl("inspect", kind, name, "--new-api")
        assert (short.code, short.err) == (0, "")
        assert short.out.splitlines()[1].split() == ["Dataplane", "default", "web-1"]
        # The newer kind comes first; without it, the older one counts.
        await kumactl("delete", kind, name)


async def test_a_refusal_is_not_told_as_an_absence(kumactl: Kumactl) -> None:
    """This API has no proxies to serve, so that the parameters are taken and the answer is not there."""
    for flags in ((), ("--shadow",), ("--shadow", "--include=diff")):
        ran = await kumactl("inspect", "dataplane", "web-1", "--type=config", *flags)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert ran.err.startswith('Error: Service unavailable (Dataplane "web-1": ')


@pytest.mark.parametrize("type_", ["config-dump", "stats", "clusters"])
async def test_an_envoy_that_is_not_connected_is_one_line(kumactl: Kumactl, type_: str) -> None:
    for proxy in (("dataplane", "web-1"), ("zoneingress", "zi-1")):
        ran = await kumactl("inspect", *proxy, f"--type={type_}")
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1), ran.err
        assert "there is no" not in ran.err
