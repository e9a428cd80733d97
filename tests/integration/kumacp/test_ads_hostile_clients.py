"""Clients that are no proxies, or proxies gone mad: what they send, and keep back."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest

from ads_client import node_metadata
from dp_plane import MTLS, Plane, dataplane, eventually, first_store, running
from kumacp.dpserver import identity_driver, lobby_driver, stream_driver
from kumacp.dpserver.identity_driver import IdentityDriver
from kumamesh.xds import CLUSTER, ENDPOINT, SECRET


async def test_a_stream_without_a_request_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lobby_driver, "FIRST_REQUEST_S", 0.05)
    async with (
        running(await first_store(), tmp_path) as plane,
        plane.client(node_id="default.web-1") as client,
    ):
        client.start_reading()
        code, text = await client.ended()
        assert (code, text) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no request came in time")
        # The server is as good as before.
        async with await plane.connect(dataplane()):
            assert await plane.dataplane()


async def test_silent_streams_make_room_for_others_when_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lobby_driver, "MAX_SILENT", 2)
    monkeypatch.setattr(lobby_driver, "FIRST_REQUEST_S", 1_000.0)
    async with running(await first_store(), tmp_path) as plane:
        silent = []
        for number in range(2):
            client = plane.client(node_id=f"default.silent-{number}")
            client.start_reading()
            silent.append(client)
            await eventually(lambda number=number: _waiting(plane, number + 1))
        async with await plane.connect(dataplane()):
            code, text = await silent[0].ended()
            assert (code, text) == (grpc.StatusCode.DEADLINE_EXCEEDED, "no request came in time")
            assert not silent[1].call.done()
        for client in silent:
            await client.kill()


async def _waiting(plane: Plane, count: int) -> bool:
    return len(plane.server._lobby._waiting) == count


async def test_a_request_larger_than_any_honest_one_is_not_read(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        metadata = node_metadata(dataplane(), junk="x" * (33 * 2**20))
        async with plane.client(metadata=metadata, node_id="default.web-1") as client:
            await client.ask(CLUSTER)
            assert (await client.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_the_token_is_looked_at_before_the_resource(tmp_path: Path) -> None:
    broken = {**dataplane(), "networking": {}}
    async with running(await first_store(), tmp_path) as plane:
        for metadata in (node_metadata(broken), node_metadata()):
            async with plane.client(metadata=metadata, node_id="default.web-1") as client:
                await client.ask(CLUSTER)
                assert (await client.ended())[0] is grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("name", ["web-1\nFAKE LINE", "x" * 5_000_000, "../web-1", "web 1"])
async def test_a_node_whose_name_no_resource_can_have(tmp_path: Path, name: str) -> None:
    async with running(await first_store(), tmp_path) as plane:
        client = plane.client(None, await plane.token(), node_id=f"default.{name}")
        await client.ask(CLUSTER)
        code, text = await client.ended()
        await client.kill()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.startswith("request must have a valid Proxy ID")
    assert text.isprintable()


async def test_what_a_client_says_does_not_break_the_line_or_the_trailer(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        metadata = {"dataplane.proxyType": "x\nFAKE LINE" * 100_000}
        async with plane.client(metadata=metadata, node_id="default.web-1") as client:
            await client.ask(CLUSTER)
            code, text = await client.ended()
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert text.isprintable()
    assert len(text) == 2_000


async def test_half_a_character_is_not_stored(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        document = {**dataplane(), "labels": {"team": "\ud800"}}
        async with plane.client(document, await plane.token("web-1")) as client:
            await client.ask(CLUSTER)
            assert (await client.ended())[0] is grpc.StatusCode.INVALID_ARGUMENT
        assert await plane.dataplane() is None


async def test_resource_types_of_a_stream_are_bounded_and_named_by_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_driver, "MAX_TYPES", 3)
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as client,  # asks for two
    ):
        await client.ask("type.example/made.up.Third", "a")
        await client.until(lambda: "type.example/made.up.Third" in client.held)
        await client.ask("type.example/made.up.Fourth", "a")
        code, text = await client.ended()
        assert set(plane.server.stats.pushes) == {"Cluster", "Listener", "other"}
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert text == "the stream asks for more than 3 resource types"


async def test_names_of_a_stream_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_driver, "MAX_NAMES", 1_000)
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await client.ask(ENDPOINT, *(f"first-{number}" for number in range(900)))
        await client.until(lambda: ENDPOINT in client.held)
        # Giving up what was never asked for makes no room.
        names = (f"second-{number}" for number in range(900))
        await client.ask(ENDPOINT, *names, unsubscribe=[f"never-{number}" for number in range(900)])
        assert (await client.ended())[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("fault", [OverflowError("years"), TypeError("key")])
async def test_a_certificate_that_cannot_be_made_hurts_nobody_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    issue = identity_driver.issue_identity

    def fail_for_web(ca, request, **options):
        if request.services == ("web",):
            raise fault
        return issue(ca, request, **options)

    monkeypatch.setattr(identity_driver, "issue_identity", fail_for_web)
    async with running(await first_store(mtls=True), tmp_path) as plane:
        async with await plane.connect(dataplane()), await plane.connect(dataplane("db-1", "db")) as other:
            await other.ask_secrets()
            await other.until(lambda: other.held.get(SECRET))
        assert plane.server.stats.certificates_failed.total() >= 1


async def test_certificates_of_a_nanosecond_are_not_made_without_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moments: list[float] = []
    settle = IdentityDriver._settle

    def note(self, order, result):
        settle(self, order, result)
        (now,) = self._orders
        moments.append(now.moment - self._clock.wall())

    monkeypatch.setattr(IdentityDriver, "_settle", note)
    backend = {**MTLS["backends"][0], "dpCert": {"rotation": {"expiration": "1ns"}}}
    async with running(await first_store(), tmp_path) as plane:
        await plane.put({"type": "Mesh", "name": "default", "mtls": {**MTLS, "backends": [backend]}})
        async with await plane.connect(dataplane()):
            pass
    assert moments[0] > 0.5
