"""Health discovery on the data-plane server: what proxies are told, and what their reports do to inbounds."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment

from ads_client import AdsClient
from dp_plane import Plane, dataplane, eventually, first_store, running
from hds_client import HdsClient, clusters
from kumacp.dpserver import hds_driver
from kumacp.store.api import StoreUnavailable
from kumamesh.resource import Resource, ResourceKey
from kumamesh.settings import Seconds
from kumamesh.xds import CLUSTER, ENDPOINT, LISTENER

PROBE = {"serviceProbe": {"tcp": {}}}
AT_ONCE = {"hds_refresh_interval": Seconds(0.0)}
KEY = ResourceKey("Dataplane", "default", "web-1")


def probed(name: str = "web-1", service: str = "web", **inbound: Any) -> dict[str, Any]:
    """A sidecar whose application listens on port 7000."""
    document = dataplane(name, service)
    document["networking"]["inbound"][0].update({**PROBE, "servicePort": 7000, **inbound})
    return document


async def state(plane: Plane, name: str = "web-1") -> str:
    """Of the only inbound; its two forms must not contradict each other."""
    stored = await plane.dataplane(name)
    assert stored is not None
    (inbound,) = stored.spec.networking.inbound
    assert inbound.health is None or inbound.health.ready is (inbound.state == "Ready")
    return str(inbound.state)


async def becomes(plane: Plane, expected: str, name: str = "web-1") -> None:
    async def is_so() -> bool:
        return await state(plane, name) == expected

    await eventually(is_so)


async def hds(plane: Plane, name: str = "web-1", **options: Any) -> HdsClient:
    return HdsClient(plane.target, f"default.{name}", await plane.token(name), **options)


async def test_a_proxy_is_told_what_to_check_and_its_reports_are_believed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "kumacp.dpserver.hds_driver")
    async with running(await first_store(), tmp_path) as plane, await plane.connect(probed()):
        assert await state(plane) == "NotReady"
        async with await hds(plane) as client:
            assert clusters(await client.told()) == ["kuma:envoy:admin", "localhost:7000"]
            await client.report(p7000=True)
            await becomes(plane, "Ready")
            await client.report(p7000=False)
            await becomes(plane, "NotReady")
            await client.report(p7000=True)
            await becomes(plane, "Ready")
            await client.report(envoy=False, p7000=True)
            await becomes(plane, "NotReady")
            assert plane.server.stats.inbound_state_changes == {"Ready": 2, "NotReady": 2}
            assert plane.server.stats.hds_streams_active == 1
            await client.leave()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "inbound 127.0.0.1:8080 of web is Ready: its workload at 127.0.0.1:7000 can be reached",
        "inbound 127.0.0.1:8080 of web is NotReady: its workload at 127.0.0.1:7000 cannot be reached",
        "inbound 127.0.0.1:8080 of web is Ready: its workload at 127.0.0.1:7000 can be reached",
        "inbound 127.0.0.1:8080 of web is NotReady: its Envoy drains, or does not serve yet",
    ]
    assert plane.server.stats.hds_streams_active == 0


def endpoints(client: AdsClient, service: str = "web") -> int:
    assignment = ClusterLoadAssignment.FromString(client.held[ENDPOINT][service])
    return sum(len(locality.lb_endpoints) for locality in assignment.endpoints)


async def test_peers_lose_a_sick_endpoint_and_get_it_back(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as web,
        await plane.connect(dataplane("api-1", "api", port=8081, outbounds={9000: "web"})) as peer,
        await hds(plane) as client,
    ):
        # Its ports count as open once it holds its secrets, of which there are none without mTLS.
        await web.ask_secrets()
        await peer.until(lambda: endpoints(peer) == 1)
        await client.report(envoy=False)
        await peer.until(lambda: endpoints(peer) == 0)
        await client.report(envoy=True)
        await peer.until(lambda: endpoints(peer) == 1)


async def test_an_outbound_that_the_proxy_refuses_keeps_no_traffic_from_it(tmp_path: Path) -> None:
    """Its port is taken; what it serves is not worse for that."""
    async with (
        running(await first_store(), tmp_path, nack_backoff=Seconds(0.01)) as plane,
        plane.client(dataplane(outbounds={9001: "api"}), await plane.token("web-1"), auto_ack=False) as web,
        await plane.connect(dataplane("api-1", "api", port=8081, outbounds={9000: "web"})) as peer,
    ):
        await web.ask(LISTENER)
        bad, refusals = "outbound:127.0.0.1:9001", 0
        while refusals < 2:
            await web.until(lambda: web.responses)
            response = web.responses.pop(0)
            refused = bad in [resource.name for resource in response.resources]
            refusals += refused
            assert endpoints(peer) == 0
            await web.answer(response, error=f"{bad}: cannot bind" if refused else None)
        await peer.until(lambda: endpoints(peer) == 1)


async def test_a_proxy_may_ask_before_it_is_registered(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await hds(plane) as client,
        await plane.connect(probed()),
    ):
        assert "localhost:7000" in clusters(await client.told())


async def test_a_proxy_that_is_never_registered_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hds_driver, "ARRIVAL_S", 0.05)
    async with running(await first_store(), tmp_path) as plane, await hds(plane) as client:
        status, text = await client.ended()
    assert status is grpc.StatusCode.NOT_FOUND
    assert text.startswith('Dataplane "default.web-1" was not registered within')


async def test_what_to_check_is_told_again_when_it_is_something_else_and_only_then(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path, **AT_ONCE) as plane,
        await plane.connect(probed()),
        await hds(plane) as client,
    ):
        await client.told()
        await client.report(p7000=True)
        await becomes(plane, "Ready")
        # While the workload was awaited, reports were to come more often.
        assert (await client.told(2)).interval.ToTimedelta().total_seconds() == 5
        assert client.specifiers[0].interval.ToTimedelta().total_seconds() == 1
        await plane.put(probed(tags={"kuma.io/service": "web", "version": "2"}))
        await plane.put(probed(servicePort=7001))
        assert clusters(await client.told(3)) == ["kuma:envoy:admin", "localhost:7001"]
        plain = dataplane()
        await plane.put(plain)
        await client.until(lambda: clusters(client.specifiers[-1]) == ["kuma:envoy:admin"])
        # The one between may have been left out, as the next was there already.
        assert len(client.specifiers) <= 5


async def test_what_was_read_does_not_replace_what_was_told_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await first_store(), tmp_path, **AT_ONCE) as plane:
        await plane.put(probed())
        read = plane.store.get

        async def slow(key: ResourceKey) -> Resource:
            stored = await read(key)
            if key == KEY and plane.server.stats.hds_streams_active:
                monkeypatch.setattr(plane.store, "get", read)
                await plane.put(probed(servicePort=7001))
                written = await read(KEY)
                assert await plane.server._feed.applied(KEY, written.version)
            return stored

        monkeypatch.setattr(plane.store, "get", slow)
        async with await hds(plane) as client:
            assert clusters(await client.told()) == ["kuma:envoy:admin", "localhost:7001"]


async def test_a_deleted_dataplane_is_not_brought_back_and_a_new_one_is_seen(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, **AT_ONCE) as plane:
        await plane.put(probed())
        async with await hds(plane) as client:
            await client.told()
            await plane.manager.delete(KEY)
            await client.report(p7000=True)

            async def seen() -> bool:
                return plane.server.stats.hds_reports == 1

            await eventually(seen)
            assert await plane.dataplane() is None
            await plane.put(probed(servicePort=7001))
            await client.until(lambda: "localhost:7001" in clusters(client.specifiers[-1]))
            await client.report(p7001=True)
            await becomes(plane, "Ready")


async def test_a_state_that_cannot_be_written_is_reported_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(probed())

        async def full(_: Resource) -> Resource:
            raise StoreUnavailable("the disk is full")

        async with await hds(plane) as client:
            await client.told()
            with monkeypatch.context() as broken:
                broken.setattr(plane.store, "update", full)
                await client.report(p7000=True)
                status, text = await client.ended()
        assert (status, text) == (
            grpc.StatusCode.UNAVAILABLE,
            "states of inbounds were not written: the disk is full",
        )
        async with await hds(plane) as client:
            await client.report(p7000=True)
            await becomes(plane, "Ready")


async def test_ignored_inbounds_are_neither_checked_nor_changed(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(probed(state="Ignored")),
        await hds(plane) as client,
    ):
        assert clusters(await client.told()) == ["kuma:envoy:admin"]
        await client.report(envoy=False, p7000=False)
        await client.leave()
        assert await state(plane) == "Ignored"


async def test_reports_and_other_writers_lose_nothing_of_each_other(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path, **AT_ONCE) as plane,
        await plane.connect(probed()),
        await hds(plane) as client,
    ):

        async def write() -> None:
            for number in range(100):
                await plane.put(probed(tags={"kuma.io/service": "web", "round": str(number)}))
                await asyncio.sleep(0)

        async def find() -> None:
            for number in range(101):
                await client.report(p7000=number % 2 == 0)

        async with asyncio.TaskGroup() as group:
            group.create_task(write())
            group.create_task(find())
        await client.leave()
        await becomes(plane, "Ready")
        stored = await plane.dataplane()
        assert stored is not None
        assert stored.spec.networking.inbound[0].tags["round"] == "99"


async def test_a_proxy_that_comes_back_keeps_its_state_and_one_that_restarts_does_not(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        document = dataplane()
        token = await plane.token("web-1")
        async with plane.client(document, token) as first, await hds(plane) as client:
            await first.ask_all()
            await client.report(envoy=False)
            await becomes(plane, "NotReady")
            held = first.versions[CLUSTER]
        async with plane.client(document, token) as back:
            await eventually_asks(back, held)
            assert await state(plane) == "NotReady"
        async with plane.client(document, token) as restarted:
            await restarted.ask_all()
            assert await state(plane) == "Ready"


async def eventually_asks(client: AdsClient, known: dict[str, str]) -> None:
    """As Envoy does when its connection was lost."""
    await client.ask(CLUSTER, known=known)
    await client.ask(ENDPOINT)
    await client.until(lambda: client.responses)


@pytest.mark.parametrize(("document", "expected"), [(probed(), "NotReady"), (dataplane(), "Ready")])
async def test_a_restart_of_a_proxy_whose_resource_is_stored(
    tmp_path: Path, document: dict[str, Any], expected: str
) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(document)
        async with await hds(plane) as client:
            # A drained one was left NotReady, one that was killed Ready.
            await client.report(envoy=expected == "NotReady", p7000=True)
            await becomes(plane, "Ready" if expected == "NotReady" else "NotReady")
            await client.leave()
        async with plane.client(None, await plane.token("web-1"), node_id="default.web-1") as started:
            await started.ask_all()
            assert await state(plane) == expected


async def test_a_restarted_control_plane_goes_on_where_the_other_ended(tmp_path: Path) -> None:
    store = await first_store()
    async with running(store, tmp_path) as plane:
        await plane.put(probed())
        async with await hds(plane) as client:
            await client.report(p7000=True)
            await becomes(plane, "Ready")
    async with running(store, tmp_path) as plane, await hds(plane) as client:
        assert await state(plane) == "Ready"
        assert "localhost:7000" in clusters(await client.told())
        await client.report(p7000=False)
        await becomes(plane, "NotReady")


async def test_what_is_left_unready_when_health_discovery_is_switched_off_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = await first_store()
    async with running(store, tmp_path) as plane:
        await plane.put(probed())
        await plane.put(dataplane("api-1", "api"))
    caplog.clear()
    async with running(store, tmp_path, hds_enabled=False) as plane:
        (told,) = [each for each in caplog.records if "health discovery is switched off" in each.getMessage()]
        assert told.__dict__["dataplanes"] == "default.web-1"
        await plane.put(probed())
        assert await state(plane) == "Ready"


async def test_shutdown_ends_streams_and_those_that_wait(tmp_path: Path) -> None:
    async with AsyncExitStack() as stack:
        plane = await stack.enter_async_context(running(await first_store(), tmp_path))
        await plane.put(probed())
        served = await hds(plane)
        waiting = await hds(plane, "other-1")
        await served.__aenter__()
        await waiting.__aenter__()
        await served.told()
    for client in (served, waiting):
        assert await client.ended() == (grpc.StatusCode.UNAVAILABLE, "the control plane is shutting down")
        await client.__aexit__(None, None, None)
    assert plane.server.stats.hds_streams_active == 0


async def test_without_health_discovery_the_service_is_not_there_and_inbounds_are_ready(
    tmp_path: Path,
) -> None:
    async with (
        running(await first_store(), tmp_path, hds_enabled=False) as plane,
        await plane.connect(probed()),
        await hds(plane) as client,
    ):
        assert (await client.ended())[0] is grpc.StatusCode.UNIMPLEMENTED
        assert await state(plane) == "Ready"
