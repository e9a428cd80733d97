"""What connected proxies are sent, when, and what others do to that: nothing."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from ads_client import AdsClient
from dp_plane import MTLS, dataplane, eventually, first_store, running
from kumacp.dpserver.tls_disk import CertificateFiles
from kumacp.identity.server_cert import create_server_certificate
from kumacp.store import feed
from kumacp.store.memory import utc_now
from kumamesh.names import builtin_ca_key_secret
from kumamesh.resource import ResourceKey
from kumamesh.resources.rest import from_rest
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET

IDENTITY = "identity_cert:secret:default"
CALLER = dataplane(outbounds={9000: "backend"})


def _backend(number: int, **more: Any) -> dict[str, Any]:
    return dataplane(f"backend-{number}", "backend", port=10_000 + number, **more)


async def test_an_endpoint_reaches_the_proxies_that_use_it(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(CALLER) as caller,
    ):
        assert not _endpoints(caller)
        async with await plane.connect(_backend(1)):
            await caller.until(lambda: _endpoints(caller) == [("127.0.0.1", 10_001)])
        await caller.until(lambda: not _endpoints(caller))
        assert plane.server.stats.change_to_ack.count >= 1


async def test_a_returning_proxy_gets_differences_alone_even_of_another_control_plane(
    tmp_path: Path,
) -> None:
    store = await first_store()
    async with running(store, tmp_path) as plane:
        client = await plane.connect(CALLER)
        known = dict(client.versions[CLUSTER])
    await client.kill()
    async with (
        running(store, tmp_path) as plane,
        plane.client(CALLER, await plane.token("web-1")) as again,
    ):
        await again.ask(CLUSTER, known={**known, "gone": "1"})
        await again.ask(LISTENER)
        await again.until(lambda: "gone" in _removed(again))
        assert not [item for item in again.responses if item.type_url == CLUSTER and item.resources]


def _has(client: AdsClient, version: str) -> bool:
    return client.versions.get(ENDPOINT, {}).get("backend") == version


def _endpoints(client: AdsClient) -> list[tuple[str, int]]:
    assignment = ClusterLoadAssignment.FromString(client.held[ENDPOINT]["backend"])
    addresses = [
        endpoint.endpoint.address.socket_address
        for locality in assignment.endpoints
        for endpoint in locality.lb_endpoints
    ]
    return [(address.address, address.port_value) for address in addresses]


def _count(client: AdsClient, count: int) -> bool:
    return len(_endpoints(client)) == count


def _removed(client: AdsClient) -> set[str]:
    return {name for response in client.responses for name in response.removed_resources}


async def test_an_unrelated_write_wakes_no_stream_and_builds_nothing(tmp_path: Path) -> None:
    store = await first_store()
    await store.create(from_rest(_backend(1)))
    async with running(store, tmp_path) as plane, await plane.connect(CALLER) as caller:
        before = caller.versions[ENDPOINT]["backend"]
        wakes, built = plane.server.stats.wakes, plane.hub.counters.built
        await plane.put(dataplane("db-1", "db"))
        await plane.put(dataplane("other-1", "backend", mesh="other"))
        await plane.put({"type": "Mesh", "name": "third"})
        # A write that concerns the caller comes after the others: when it is here, they are done.
        await plane.put(_backend(2))
        await caller.until(lambda: caller.versions[ENDPOINT]["backend"] != before)
        assert plane.server.stats.wakes == wakes + 1
        assert plane.hub.counters.built == built + 1


async def test_two_hundred_proxies_that_connect_at_once_are_all_served(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        clients: list[AdsClient] = []
        token = await plane.token()

        async def connect(number: int) -> None:
            document = dataplane(f"web-{number}", outbounds={9000: "backend"})
            clients.append(await plane.connect(document, token))

        async with asyncio.TaskGroup() as group:
            for number in range(200):
                group.create_task(connect(number))
        assert plane.server.stats.streams_active == 200
        assert len(await plane.store.list("Dataplane")) == 200
        await plane.put(_backend(1))
        await plane.put(_backend(2))
        for client in clients:
            await client.until(partial(_count, client, 2))
            await client.kill()


async def test_a_paused_client_delays_nobody_and_gets_the_latest_when_it_reads(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        outbounds = {20_000 + number: f"s-{number}" for number in range(1500)} | {9000: "backend"}
        paused = plane.client(dataplane("slow-1", outbounds=outbounds), await plane.token("slow-1"))
        async with paused, await plane.connect(CALLER) as caller:
            paused.paused = True
            await paused.ask(CLUSTER)
            await paused.ask(LISTENER)
            await paused.ask(ENDPOINT, "backend")
            for number in range(20):
                await plane.put(_backend(number))
                await caller.until(partial(_count, caller, number + 1))
            paused.start_reading()
            latest = caller.versions[ENDPOINT]["backend"]
            await paused.until(partial(_has, paused, latest))
            await paused.until(lambda: len(paused.held.get(LISTENER, ())) == len(outbounds) + 1)
            pushes = [item for item in paused.responses if item.type_url == ENDPOINT]
            assert len(pushes) < 20


async def test_a_certificate_comes_with_the_configuration_and_is_renewed(tmp_path: Path) -> None:
    async with running(await first_store(mtls=True), tmp_path) as plane:
        await plane.put(_mesh_with_lifetime("2s"))
        async with await plane.connect(dataplane()) as client:
            await client.ask_secrets()
            await client.until(lambda: IDENTITY in client.held.get(SECRET, {}))
            first = client.held[SECRET][IDENTITY]
            assert b"BEGIN CERTIFICATE" in first
            assert not _removed(client)
            await client.until(lambda: client.held[SECRET][IDENTITY] != first)

            async def counted() -> bool:
                insight = await plane.insight()
                return bool(insight and insight.m_tls and insight.m_tls.certificate_regenerations >= 2)

            await eventually(counted)


def _mesh_with_lifetime(text: str) -> dict[str, Any]:
    backend = {**MTLS["backends"][0], "dpCert": {"rotation": {"expiration": text}}}  # type: ignore[dict-item]
    return {"type": "Mesh", "name": "default", "mtls": {**MTLS, "backends": [backend]}}


async def test_without_its_ca_a_mesh_is_served_and_certified_when_the_ca_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await first_store(mtls=True)
    key = ResourceKey("Secret", "default", builtin_ca_key_secret("default", "ca-1"))
    ca_key = await store.get(key)
    await store.delete(key)
    async with running(store, tmp_path) as plane, await plane.connect(dataplane()) as client:
        assert plane.server.stats.certificates_failed["default"] == 1
        assert "lacks a secret of its CA" in caplog.text
        await client.ask_secrets()
        await client.until(lambda: IDENTITY in _removed(client))
        await store.create(ca_key)
        await client.until(lambda: IDENTITY in client.held[SECRET])


async def test_an_overrun_feed_is_caught_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(CALLER) as caller,
    ):
        monkeypatch.setattr(feed, "MAX_BEHIND", 2)
        before = caller.versions[ENDPOINT]["backend"]
        # The memory store never yields, so the feed's reader falls behind.
        resources = [from_rest(_backend(number)) for number in range(6)]
        for resource in resources:
            await plane.store.create(resource)
        await caller.until(lambda: caller.versions[ENDPOINT]["backend"] != before)
        full = caller.versions[ENDPOINT]["backend"]
        monkeypatch.undo()
        await plane.store.delete(resources[0].key)
        await caller.until(lambda: caller.versions[ENDPOINT]["backend"] != full)


async def test_tls_follows_the_certificate_files(tmp_path: Path) -> None:
    certificate, key = tmp_path / "tls.crt", tmp_path / "tls.key"

    def write() -> bytes:
        pem, private = create_server_certificate("localhost", ["127.0.0.1"], utc_now())
        certificate.write_bytes(pem)
        key.write_bytes(private)
        return pem

    def trusting(pem: bytes) -> dict[str, Any]:
        return {
            "credentials": grpc.ssl_channel_credentials(pem),
            "options": (("grpc.ssl_target_name_override", "localhost"),),
        }

    first = write()
    files = CertificateFiles(certificate, key)
    async with (
        running(await first_store(), tmp_path, certificate=files) as plane,
        await plane.connect(CALLER, **trusting(first)) as old,
    ):
        second = write()
        async with await plane.connect(_backend(1), **trusting(second)):
            before = old.versions[ENDPOINT]["backend"]
            await plane.put(_backend(2))
            await old.until(lambda: old.versions[ENDPOINT]["backend"] != before)
        async with plane.client(dataplane("web-3"), **trusting(first)) as stranger:
            status, _ = await stranger.ended()
            assert status is grpc.StatusCode.UNAVAILABLE
