"""A zone egress has one identity for each mesh that leaves the zone through it, and no longer than that."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ads_client import AdsClient, node_metadata
from dp_plane import MTLS, Plane, eventually, first_store, running
from kumamesh.resource import ResourceKey
from kumamesh.xds import LISTENER, SECRET

EGRESS = {
    "type": "ZoneEgress",
    "name": "egress-1",
    "networking": {"address": "127.0.0.1", "port": 10002},
}


def mesh(name: str, *, lifetime: str = "1h", through: bool = True) -> dict[str, Any]:
    backend = {**MTLS["backends"][0], "dpCert": {"rotation": {"expiration": lifetime}}}  # type: ignore[dict-item]
    document: dict[str, Any] = {"type": "Mesh", "name": name, "mtls": {**MTLS, "backends": [backend]}}
    return {**document, "routing": {"zoneEgress": True}} if through else document


def external(mesh: str) -> dict[str, Any]:
    return {
        "type": "ExternalService",
        "mesh": mesh,
        "name": "httpbin",
        "networking": {"address": "httpbin.example:80"},
        "tags": {"kuma.io/service": "httpbin"},
    }


def identity(mesh: str) -> str:
    return f"identity_cert:secret:{mesh}"


async def connect(plane: Plane) -> AdsClient:
    metadata = node_metadata(EGRESS, **{"dataplane.proxyType": "egress"})
    client = plane.client(
        EGRESS, await plane.zone_token(scope=("egress",), zone="default"), metadata=metadata
    )
    await client.ask_all()
    return client


async def held(client: AdsClient, mesh: str) -> bytes:
    await client.until(lambda: identity(mesh) in client.held.get(SECRET, {}))
    return client.held[SECRET][identity(mesh)]


async def test_each_mesh_has_its_own_and_each_is_renewed_for_itself(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(mesh("default", lifetime="2s"))
        await plane.put(mesh("other"))
        for name in ("default", "other"):
            await plane.put(external(name))
        async with await connect(plane) as client:
            # They are there with the first configuration.
            assert plane.server.stats.certificates_issued["default"] == 1
            assert plane.server.stats.certificates_issued["other"] == 1
            for name in ("default", "other"):
                await client.ask_secrets(name)
            mine, others = await held(client, "default"), await held(client, "other")
            assert mine != others
            await client.until(lambda: client.held[SECRET][identity("default")] != mine)
            assert client.held[SECRET][identity("other")] == others
        assert plane.server.stats.certificates_issued["other"] == 1


async def test_a_mesh_that_is_switched_to_the_egress_brings_one_and_takes_it_along(tmp_path: Path) -> None:
    async with running(await first_store(mtls=True), tmp_path) as plane:
        await plane.put(external("default"))
        async with await connect(plane) as client:
            assert client.held[LISTENER] == {}
            await client.ask_secrets()
            await plane.put(mesh("default"))
            await held(client, "default")
            await client.until(lambda: len(client.held[LISTENER]) == 1)
            await plane.put(mesh("default", through=False))
            await client.until(lambda: client.held[LISTENER] == {} == client.held[SECRET])


@pytest.mark.parametrize("deleted", [True, False])
async def test_a_mesh_that_goes_takes_its_certificate_along_before_it_would_be_renewed(
    tmp_path: Path, deleted: bool
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(mesh("other", lifetime="3s"))
        await plane.put(external("other"))
        async with await connect(plane) as client:
            await client.ask_secrets("other")
            await held(client, "other")
            if deleted:
                await plane.manager.delete(ResourceKey("Mesh", "", "other"))
            else:
                await plane.put({"type": "Mesh", "name": "other"})
            await client.until(lambda: client.held[SECRET] == {} == client.held[LISTENER])
            assert list(plane.server._identities._orders) == []


async def test_one_mesh_without_its_ca_keeps_no_other_from_being_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await first_store(mtls=True)
    async with running(store, tmp_path) as plane:
        for name in ("default", "other"):
            await plane.put(mesh(name))
            await plane.put(external(name))
        key = ResourceKey("Secret", "other", "other.ca-builtin-key-ca-1")
        ca_key = await store.get(key)
        await store.delete(key)

        async def known() -> bool:
            return plane.server._feed.secret("Secret", "other", key.name) is None

        await eventually(known)
        async with await connect(plane) as client:
            assert plane.server.stats.certificates_failed["other"] == 1
            assert "no certificate for other.egress-1" in caplog.text
            for name in ("default", "other"):
                await client.ask_secrets(name)
            await held(client, "default")
            assert identity("other") not in client.held[SECRET]
            await store.create(ca_key)
            await held(client, "other")


async def test_an_egress_that_leaves_is_forgotten(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(mesh("default"))
        await plane.put(external("default"))
        async with await connect(plane):
            assert len(list(plane.server._identities._orders)) == 1

        async def gone() -> bool:
            return await plane.get(ResourceKey("ZoneEgress", "", "egress-1")) is None

        await eventually(partial(gone))
        assert list(plane.server._identities._orders) == []
