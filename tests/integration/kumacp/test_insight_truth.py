"""What an insight says of mTLS is what the proxy has, not what it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.service.discovery.v3.discovery_pb2 import DeltaDiscoveryResponse

from ads_client import AdsClient
from dp_plane import MTLS, Plane, dataplane, eventually, first_store, running
from kumacp.store.api import StoreUnavailable
from kumamesh.resource import Resource, ResourceKey
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER, SECRET

IDENTITY, CA = "identity_cert:secret:default", "mesh_ca:secret:default"
MESH = {"type": "Mesh", "name": "default"}
BACKEND = dataplane("backend-1", "backend", port=10_001)


async def _backend_reported(plane: Plane, name: str = "web-1") -> str:
    insight = await plane.insight(name)
    return insight.m_tls.issued_backend if insight and insight.m_tls else ""


async def _counted(plane: Plane, acknowledged: int) -> None:
    """Wait until the insight is as new as that many responses that were accepted."""

    async def written() -> bool:
        insight = await plane.insight()
        last = insight.last_subscription if insight else None
        return bool(last and last.status.total.responses_acknowledged >= acknowledged)

    await eventually(written)


async def _next(client: AdsClient) -> DeltaDiscoveryResponse:
    """The next response, which nobody has answered."""
    await client.until(lambda: client.responses)
    return client.responses.pop(0)


async def test_a_backend_is_reported_when_the_proxy_has_accepted_its_certificate_and_the_ca(
    tmp_path: Path,
) -> None:
    async with (
        running(await first_store(mtls=True), tmp_path) as plane,
        plane.client(dataplane(), await plane.token("web-1"), auto_ack=False) as client,
    ):
        await client.ask(SECRET, IDENTITY)
        response = await _next(client)
        assert [resource.name for resource in response.resources] == [IDENTITY]
        await client.answer(response)
        await client.ask(SECRET, CA)
        response = await _next(client)
        await _counted(plane, 1)
        assert await _backend_reported(plane) == ""
        await client.answer(response)
        await eventually(lambda: _backend_reported(plane))


async def test_a_certificate_that_the_proxy_refused_is_not_reported(tmp_path: Path) -> None:
    async with (
        running(await first_store(mtls=True), tmp_path) as plane,
        plane.client(dataplane(), await plane.token("web-1"), auto_ack=False) as client,
    ):
        await client.ask(SECRET, CA)
        await client.answer(await _next(client))
        await client.ask(SECRET, IDENTITY)
        await client.answer(await _next(client), error="the certificate is expired")
        await client.ask(LISTENER)
        await client.answer(await _next(client))
        await _counted(plane, 2)
        assert await _backend_reported(plane) == ""


async def test_mtls_leaves_the_insights_when_it_is_switched_off_and_comes_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with running(await first_store(mtls=True), tmp_path) as plane:
        # Applied by hand, so that it stays when its proxy leaves.
        await plane.put(BACKEND)
        async with await plane.connect(BACKEND) as gone, await plane.connect(dataplane()) as client:
            for each, name in ((gone, "backend-1"), (client, "web-1")):
                await each.ask_secrets()
                await eventually(lambda name=name: _backend_reported(plane, name))
            await gone.leave()
            await plane.put(MESH)

            async def nobody_reports() -> bool:
                return not any([await _backend_reported(plane, name) for name in ("backend-1", "web-1")])

            await eventually(nobody_reports)
            await client.until(lambda: not client.held[SECRET])
            await plane.put({**MESH, "mtls": MTLS})
            await client.ask_secrets()
            await eventually(lambda: _backend_reported(plane))
            assert await _backend_reported(plane, "backend-1") == ""
        switches = [record for record in caplog.records if "mTLS was switched" in record.getMessage()]
        assert [record.getMessage() for record in switches] == [
            "mTLS was switched off",
            "mTLS was switched on",
        ]


async def test_mtls_leaves_the_insights_although_the_store_failed_at_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await first_store(mtls=True), tmp_path) as plane:
        await plane.put(BACKEND)
        async with await plane.connect(BACKEND) as gone:
            await gone.ask_secrets()
            await eventually(lambda: _backend_reported(plane, "backend-1"))
            await gone.leave()
        read, failed = plane.store.list, False

        async def once(type_: str, *mesh: str) -> Sequence[Resource]:
            nonlocal failed
            if type_ == "DataplaneInsight" and not failed:
                failed = True
                raise StoreUnavailable("the disk does not answer")
            return await read(type_, *mesh)

        monkeypatch.setattr(plane.store, "list", once)
        await plane.put(MESH)

        async def withdrawn() -> bool:
            return await _backend_reported(plane, "backend-1") == ""

        await eventually(withdrawn)
        assert failed


async def test_an_insight_that_goes_while_it_is_written_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        plane.client(dataplane(), await plane.token("web-1")) as client,
    ):
        await client.ask(CLUSTER)
        await _counted(plane, 1)
        write = plane.store.update
        key = ResourceKey("Dataplane", "default", "web-1")

        async def slow(insight: Resource) -> Resource:
            monkeypatch.setattr(plane.store, "update", write)
            await plane.manager.delete(key)
            await plane.put(dataplane())
            stored = await plane.get(key)
            assert stored is not None
            assert await plane.server._feed.applied(key, stored.version)
            return await write(insight)

        monkeypatch.setattr(plane.store, "update", slow)
        await client.ask(LISTENER)
        await _counted(plane, 2)


async def test_a_certificate_that_is_taken_back_before_it_was_accepted_is_not_reported(
    tmp_path: Path,
) -> None:
    async with (
        running(await first_store(mtls=True), tmp_path) as plane,
        plane.client(dataplane(), await plane.token("web-1"), auto_ack=False) as client,
    ):
        await client.ask_secrets()
        response = await _next(client)
        assert len(response.resources) == 2
        await plane.put(MESH)
        await client.answer(response)
        response = await _next(client)
        assert set(response.removed_resources) == {IDENTITY, CA}
        await client.answer(response)
        await _counted(plane, 2)
        assert await _backend_reported(plane) == ""


async def test_a_proxy_that_comes_back_after_mtls_was_switched_off_reports_none(tmp_path: Path) -> None:
    store = await first_store(mtls=True)
    async with (
        running(store, tmp_path, deregistration_delay=60.0) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await client.ask_secrets()
        await eventually(lambda: _backend_reported(plane))
    mesh = await store.get(ResourceKey("Mesh", "", "default"))
    await store.update(replace(mesh, spec=mesh.spec.model_copy(update={"mtls": None})))
    async with running(store, tmp_path) as plane, await plane.connect(dataplane()):

        async def told() -> bool:
            insight = await plane.insight()
            return bool(insight and insight.online)

        await eventually(told)
        assert await _backend_reported(plane) == ""


async def test_an_instance_gets_traffic_when_it_has_accepted_all_its_secrets(tmp_path: Path) -> None:
    async with (
        running(await first_store(mtls=True), tmp_path) as plane,
        await plane.connect(dataplane(outbounds={9000: "backend"})) as caller,
        plane.client(BACKEND, await plane.token("backend-1"), auto_ack=False) as backend,
    ):
        await backend.ask(CLUSTER)
        await backend.answer(await _next(backend))
        await backend.ask(LISTENER)
        await backend.answer(await _next(backend))
        await backend.ask(SECRET, IDENTITY)
        await backend.answer(await _next(backend))
        await backend.ask(SECRET, CA)
        response = await _next(backend)
        # Whatever concerns the caller and comes after the first acceptance is here after it.
        before = caller.versions[ENDPOINT]["backend"]
        await plane.put(dataplane("backend-2", "backend", port=10_002))
        await caller.until(lambda: caller.versions[ENDPOINT]["backend"] != before)
        assert _ports(caller) == [10_002]
        await backend.answer(response)
        await caller.until(lambda: _ports(caller) == [10_001, 10_002])


def _ports(client: AdsClient) -> list[int]:
    assignment = ClusterLoadAssignment.FromString(client.held[ENDPOINT]["backend"])
    return sorted(
        endpoint.endpoint.address.socket_address.port_value
        for locality in assignment.endpoints
        for endpoint in locality.lb_endpoints
    )
