"""kumactl with control planes of several zones: tables, names that people gave, and what is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from kumacp.api.authority import ON_GLOBAL, ON_ZONE
from kumamesh.jwt_peek import peek
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import (
    DiscoverySubscription,
    KdsSubscription,
    KumaCpVersion,
    ZoneIngressInsight,
    ZoneInsight,
    ZoneVersion,
)
from kumamesh.resources.zone import Zone, ZoneIngress, ZoneIngressNetworking
from rest_stub import configure
from running_api import Kumactl, RunningApi, running_api

GLOBAL = {"mode": "global"}
FEDERATED = {"zone_name": "zone-1", "zone_global_address": "grpcs://global.example:5685"}
FLAT = "{type: Zone, name: zone-1, enabled: false}"
NESTED = "{type: Zone, name: zone-1, spec: {enabled: false}}"
DATAPLANE = """
{type: Dataplane, mesh: default, name: web-1, networking: {address: 10.0.0.1, inbound: [
  {port: 80, tags: {kuma.io/service: web}}]}}
"""
PERMISSION = """
{type: MeshTrafficPermission, mesh: default, name: mtp, spec: {targetRef: {kind: Mesh}, from: [
  {targetRef: {kind: Mesh}, default: {action: Allow}}]}}
"""


@asynccontextmanager
async def control_plane(tmp_path: Path, **settings: Any) -> AsyncIterator[tuple[RunningApi, Kumactl]]:
    async with running_api(tmp_path / "cp", **settings) as api:
        configure(tmp_path, api.http_url)
        yield api, Kumactl(tmp_path)


async def connected(api: RunningApi, name: str, *, enabled: bool = True) -> None:
    """A zone whose control plane connected a minute ago."""
    zone = await api.store.create(Resource(ResourceKey("Zone", "", name), Zone(enabled=enabled)))
    subscription = KdsSubscription(
        connect_time=datetime.now(UTC) - timedelta(minutes=1, seconds=30),
        version=ZoneVersion(kuma_cp=KumaCpVersion(version="2.13.10")),
        config='{"store": {"type": "sqlite"}}',
    )
    insight = ZoneInsight(subscriptions=(subscription,))
    await api.store.create(Resource(ResourceKey("ZoneInsight", "", name), insight), owner=zone.key)


async def ingress_of(api: RunningApi, zone: str, name: str, origin: str, *, online: bool = True) -> None:
    networking = ZoneIngressNetworking(address="10.0.0.1", port=10000)
    labels = {"kuma.io/display-name": "ingress", "kuma.io/origin": origin, "kuma.io/zone": zone}
    ingress = ZoneIngress(zone=zone, networking=networking)
    await api.store.create(Resource(ResourceKey("ZoneIngress", "", name), ingress, labels))
    if online:
        insight = ZoneIngressInsight(subscriptions=(DiscoverySubscription(connect_time=datetime.now(UTC)),))
        await api.store.create(Resource(ResourceKey("ZoneIngressInsight", "", name), insight, labels))


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()[1:]]


async def test_zones_are_listed_with_their_state(tmp_path: Path) -> None:
    async with control_plane(tmp_path, **GLOBAL) as (api, kumactl):
        await connected(api, "zone-1")
        await connected(api, "zone-2", enabled=False)
        await api.store.create(Resource(ResourceKey("Zone", "", "zone-3"), Zone()))
        listed = await kumactl("get", "zones")
        assert listed.out.splitlines()[0].split() == ["NAME", "AGE"]
        assert [row[0] for row in rows(listed.out)] == ["zone-1", "zone-2", "zone-3"]
        seen = await kumactl("inspect", "zones")
    assert " ".join(seen.out.splitlines()[0].split()) == (
        "NAME STATUS LAST CONNECTED AGO LAST UPDATED AGO TOTAL UPDATES TOTAL ERRORS ZONE-CP VERSION BACKEND"
    )
    assert rows(seen.out) == [
        ["zone-1", "Online", "1m", "never", "0", "0", "2.13.10", "sqlite"],
        ["zone-2", "Offline", "1m", "never", "0", "0", "2.13.10", "sqlite"],
        ["zone-3", "Offline", "never", "never", "0", "0", "-", "-"],
    ]


async def test_an_ingress_of_another_zone_is_not_said_to_be_offline(tmp_path: Path) -> None:
    async with control_plane(tmp_path, **FEDERATED) as (api, kumactl):
        await ingress_of(api, "zone-1", "ingress", "zone")
        await ingress_of(api, "zone-2", "ingress-2", "global", online=False)
        await ingress_of(api, "zone-1", "starting", "zone", online=False)
        seen = await kumactl("inspect", "zoneingresses")
    assert [row[:2] for row in rows(seen.out)] == [
        ["ingress", "Online"],
        ["ingress-2", "-"],
        ["starting", "Offline"],
    ]


async def test_what_a_zone_brought_is_found_by_the_name_that_people_gave_it(tmp_path: Path) -> None:
    async with control_plane(tmp_path, **GLOBAL) as (api, kumactl):
        await ingress_of(api, "zone-1", "ingress-aaaa", "zone")
        found = await kumactl("get", "zoneingress", "ingress")
        assert (found.code, rows(found.out)[0][0]) == (0, "ingress-aaaa")
        asked = await kumactl("inspect", "zoneingress", "ingress", "--type=config-dump")
        assert 'ZoneIngress "ingress-aaaa"' in asked.err, "asked, and told that there is no Envoy"
        await ingress_of(api, "zone-2", "ingress-bbbb", "zone")
        several = await kumactl("inspect", "zoneingress", "ingress", "--type=stats")
        assert (several.code, several.out) == (1, "")
        assert several.err == (
            'Error: several zoneingresses are called "ingress"; name one of ingress-aaaa (zone zone-1),'
            " ingress-bbbb (zone zone-2)\n"
        )
        exact = await kumactl("get", "zoneingress", "ingress-bbbb")
        assert rows(exact.out)[0][0] == "ingress-bbbb"
        none = await kumactl("get", "zoneingress", "nobody")
        assert none.err == 'Error: there is no ZoneIngress with name "nobody"\n'


@pytest.mark.parametrize("document", [FLAT, NESTED])
async def test_a_zone_is_disabled_by_either_form_and_only_on_global(tmp_path: Path, document: str) -> None:
    async with control_plane(tmp_path, **GLOBAL) as (api, kumactl):
        await connected(api, "zone-1")
        applied = await kumactl("apply", "-f", "-", stdin=document)
        assert (applied.out, applied.err) == ('resource type="Zone" name="zone-1" Updated\n', "")
        assert "enabled: false" in (await kumactl("get", "zone", "zone-1", "-o", "yaml")).out
        assert rows((await kumactl("inspect", "zones")).out)[0][1] == "Offline"
    async with control_plane(tmp_path, **FEDERATED) as (_, kumactl):
        applied = await kumactl("apply", "-f", "-", stdin=document)
        assert (applied.code, applied.out) == (1, "")
        assert f"Method not allowed ({ON_ZONE})" in applied.err


async def test_a_zone_is_deleted_when_it_is_gone(tmp_path: Path) -> None:
    async with control_plane(tmp_path, **GLOBAL) as (api, kumactl):
        await connected(api, "zone-1")
        kept = await kumactl("delete", "zone", "zone-1")
        assert (kept.code, kept.out) == (1, "")
        assert kept.err.splitlines() == [
            "Error: Could not delete a resource (Resource is not valid)",
            "* zone: unable to delete Zone, Zone CP is still connected, please shut it down first",
        ]
        insight = await api.store.get(ResourceKey("ZoneInsight", "", "zone-1"))
        await api.store.delete(insight.key)
        gone = await kumactl("delete", "zone", "zone-1")
        assert (gone.out, gone.err) == ('deleted Zone "zone-1"\n', "")


async def test_each_side_refuses_what_the_other_one_takes(tmp_path: Path) -> None:
    async with control_plane(tmp_path, **FEDERATED) as (_, kumactl):
        policy = await kumactl("apply", "-f", "-", stdin=PERMISSION)
        assert (policy.code, ON_ZONE in policy.err) == (1, True)
        assert (await kumactl("delete", "mesh", "default")).err == f"Error: Method not allowed ({ON_ZONE})\n"
        assert (await kumactl("apply", "-f", "-", stdin=DATAPLANE)).code == 0
    async with control_plane(tmp_path, **GLOBAL) as (_, kumactl):
        proxy = await kumactl("apply", "-f", "-", stdin=DATAPLANE)
        assert (proxy.code, ON_GLOBAL in proxy.err) == (1, True)
        assert (await kumactl("apply", "-f", "-", stdin=PERMISSION)).code == 0


@pytest.mark.parametrize(
    ("flags", "scope"),
    [
        (("--scope", "egress", "--scope", "ingress"), ["egress", "ingress"]),
        ((), ["ingress", "egress"]),
        (("--scope=cp",), ["cp"]),
    ],
)
async def test_zone_tokens_come_from_global(tmp_path: Path, flags: tuple[str, ...], scope: list[str]) -> None:
    command = ("generate", "zone-token", "--zone=zone-1", *flags, "--valid-for", "1h")
    async with control_plane(tmp_path, **GLOBAL) as (_, kumactl):
        made = await kumactl(*command)
        assert (made.code, made.err) == (0, "")
        payload = peek(made.out).claims
        assert (payload["Zone"], payload["Scope"]) == ("zone-1", scope)
    async with control_plane(tmp_path, **FEDERATED) as (_, kumactl):
        refused = await kumactl(*command)
        assert (refused.code, refused.out) == (1, "")
        assert "make them at the global control plane" in refused.err
