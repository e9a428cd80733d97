"""Registration, deregistration and insights of proxies as they come, go and come back."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from dp_plane import Plane, dataplane, eventually, first_store, running
from kumacp.dpserver import lifecycle
from kumacp.store.api import Store
from kumamesh.names import MANAGED_BY_CONNECTION, MANAGED_BY_LABEL
from kumamesh.resource import Resource, ResourceKey
from kumamesh.resources.insight import DataplaneInsight, DiscoverySubscription
from kumamesh.resources.rest import from_rest
from kumamesh.settings import Seconds
from kumamesh.xds import LISTENER

NEVER_S = Seconds(3600.0)
WEB_INSIGHT = ResourceKey("DataplaneInsight", "default", "web-1")


async def test_connecting_registers_with_zone_labels_and_the_mark(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()),
    ):
        stored = await plane.dataplane()
        assert stored is not None
        assert stored.labels[MANAGED_BY_LABEL] == MANAGED_BY_CONNECTION
        assert stored.labels["kuma.io/zone"] == "default"
        insight = await eventually(plane.insight)
        assert insight.online


async def test_a_clean_end_deregisters_at_once(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=NEVER_S) as plane:
        async with await plane.connect(dataplane()) as client:
            await client.leave()
            await plane.gone()
        assert await plane.insight() is None


async def test_an_unclean_end_deregisters_after_the_delay(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        client = await plane.connect(dataplane())
        await client.kill()

        async def offline() -> bool:
            insight = await plane.insight()
            return insight is not None and not insight.online

        await eventually(offline)
        assert await plane.dataplane() is not None
        await plane.gone()


async def test_a_proxy_that_returns_in_time_stays(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await (await plane.connect(dataplane())).kill()

        async def noticed() -> bool:
            return plane.server.stats.streams_active == 0

        await eventually(noticed)
        async with await plane.connect(dataplane()), await plane.connect(dataplane("web-2")) as other:
            # Its removal was planned before the other's: when that is gone, its time is over, too.
            await other.kill()
            await plane.gone("web-2")
            assert await plane.dataplane() is not None
            insight = await eventually(plane.insight)
            assert [item.online for item in insight.subscriptions] == [False, True]


async def test_a_resource_made_beforehand_is_used_and_stays(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await plane.put(dataplane())
        token = await plane.token("web-1")
        async with plane.client(None, token, node_id="default.web-1") as client:
            await client.ask_all()
            assert "inbound:127.0.0.1:8080" in client.held[LISTENER]
            await client.leave()

            async def offline() -> bool:
                insight = await plane.insight()
                return insight is not None and not insight.online

            await eventually(offline)
        assert await plane.dataplane() is not None


async def test_a_registered_resource_that_somebody_replaced_goes_with_its_proxy(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await plane.put(dataplane(port=8081))
        await client.leave()
        await plane.gone()


async def test_a_resource_that_was_deleted_keeps_its_proxy_configured(tmp_path: Path) -> None:
    async with (
        running(await first_store(), tmp_path) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await plane.store.delete(ResourceKey("Dataplane", "default", "web-1"))
        await plane.put(dataplane(port=8081))
        await client.until(lambda: "inbound:127.0.0.1:8081" in client.held[LISTENER])
        insight = await eventually(plane.insight)
        assert insight.online


async def test_revoked_while_connected_ends_the_stream_and_deregisters_within_a_second(
    tmp_path: Path,
) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=NEVER_S) as plane:
        token = await plane.token("web-1", token_id="stolen")
        async with plane.client(dataplane(), token) as client, await plane.connect(dataplane("web-2")):
            await client.ask_all()
            began = time.monotonic()
            await plane.revoke("stolen")
            status, text = await client.ended()
            await plane.gone()
            assert time.monotonic() - began < 1.0
            assert (status, text) == (
                grpc.StatusCode.UNAUTHENTICATED,
                "authentication failed: token is revoked",
            )
            assert plane.server.stats.streams_active == 1
            assert await plane.dataplane("web-2") is not None


async def test_a_key_that_is_gone_ends_the_streams_of_its_tokens(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=NEVER_S) as plane:
        async with await plane.connect(dataplane()) as client:
            await plane.manager.delete(
                ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1")
            )
            status, text = await client.ended()
        assert status is grpc.StatusCode.UNAUTHENTICATED
        assert "there is no signing key with KID 1" in text
        # It may have a token of the next key: it stays as long as one that vanished.
        assert await plane.dataplane("web-1") is not None


async def test_whoever_does_not_come_back_with_another_key_goes(tmp_path: Path) -> None:
    key = ResourceKey("Secret", "default", "dataplane-token-signing-key-default-1")
    async with (
        running(await first_store(), tmp_path, deregistration_delay=0.1) as plane,
        await plane.connect(dataplane()) as client,
    ):
        await plane.manager.delete(key)
        await client.ended()
        await plane.gone()


async def test_expired_while_connected_ends_the_stream_and_deregisters_within_a_second(
    tmp_path: Path,
) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=NEVER_S) as plane:
        token = await plane.token("web-1", valid_for_s=0.5)
        async with plane.client(dataplane(), token) as client:
            await client.ask_all()
            status, text = await client.ended()
            await plane.gone()
        assert status is grpc.StatusCode.UNAUTHENTICATED
        assert "token is expired" in text


async def test_a_paused_client_is_deregistered_all_the_same(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path, deregistration_delay=NEVER_S) as plane:
        many = dataplane(outbounds={20_000 + number: f"s-{number}" for number in range(1500)})
        token = await plane.token("web-1", token_id="stolen")
        async with plane.client(many, token) as client:
            client.paused = True
            await client.ask()
            await eventually(plane.insight)
            await plane.revoke("stolen")
            await plane.gone()


async def test_shutdown_deregisters_nobody_and_says_so(tmp_path: Path) -> None:
    store = await first_store()
    async with running(store, tmp_path, deregistration_delay=Seconds(0.0)) as plane:
        client = await plane.connect(dataplane())
    assert await client.ended() == (grpc.StatusCode.UNAVAILABLE, "the control plane is shutting down")
    await client.kill()
    assert await plane.dataplane() is not None
    insight = await plane.insight()
    assert insight is not None
    assert not insight.online


async def _crashed(store: Store, name: str, *, managed: bool = True) -> None:
    """What a control plane that was killed leaves of a connected proxy."""
    resource = from_rest(dataplane(name))
    labels = {MANAGED_BY_LABEL: MANAGED_BY_CONNECTION} if managed else {}
    await store.create(replace(resource, labels=labels))
    subscription = DiscoverySubscription(
        id=f"of-{name}", control_plane_instance_id="dead", connect_time=datetime(2026, 1, 1, tzinfo=UTC)
    )
    insight = DataplaneInsight(subscriptions=(subscription,))
    await store.create(Resource(resource.key._replace(type="DataplaneInsight"), insight), owner=resource.key)


async def test_after_a_crash_proxies_have_time_to_come_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lifecycle, "MAX_RECONNECT_BACKOFF_S", 0.5)
    store = await first_store()
    for name in ("back-1", "lost-1"):
        await _crashed(store, name)
    await _crashed(store, "by-hand-1", managed=False)
    async with running(store, tmp_path) as plane, await plane.connect(dataplane("back-1")):
        assert await plane.dataplane("lost-1") is not None
        await plane.gone("lost-1")
        assert await plane.dataplane("back-1") is not None
        assert await plane.dataplane("by-hand-1") is not None

        async def finished() -> bool:
            insight = await plane.insight("by-hand-1")
            return insight is not None and not insight.online

        await eventually(finished)
        back = await plane.insight("back-1")
        assert back is not None
        assert [(item.id == "of-back-1", item.online) for item in back.subscriptions] == [
            (True, False),
            (False, True),
        ]


async def test_a_proxy_that_moved_to_another_control_plane_stays(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        await (await plane.connect(dataplane())).kill()
        await _moves(plane, "web-1")
        await (await plane.connect(dataplane("web-2"))).kill()
        await plane.gone("web-2")
        assert await plane.dataplane() is not None


async def _moves(plane: Plane, name: str) -> None:
    key = WEB_INSIGHT._replace(name=name)

    async def ours_is_over() -> Resource | None:
        stored = await plane.get(key)
        return stored if stored is not None and not stored.spec.online else None

    stored = await eventually(ours_is_over)
    elsewhere = DiscoverySubscription(id="elsewhere", connect_time=datetime.now(UTC))
    spec = stored.spec.model_copy(update={"subscriptions": (*stored.spec.subscriptions, elsewhere)})
    await plane.store.update(replace(stored, spec=spec))


async def test_the_insight_counts_and_keeps_the_token_out(tmp_path: Path) -> None:
    async with running(await first_store(mtls=True), tmp_path) as plane:
        token = await plane.token("web-1")
        document = dataplane()
        client = plane.client(document, token, metadata={"x": [f"Bearer {token}"]}, node_id="default.web-1")
        await plane.put(document)
        async with client:
            await client.ask_all()
            await client.ask_secrets()

            async def acknowledged() -> DataplaneInsight | None:
                insight = await plane.insight()
                seen = insight.last_subscription.status if insight and insight.last_subscription else None
                return insight if seen and seen.lds.responses_acknowledged and insight.m_tls else None

            insight = await eventually(acknowledged)
        assert insight.subscriptions[-1].status.cds.responses_acknowledged == 1
        assert insight.m_tls.issued_backend == "ca-1"
        assert insight.m_tls.supported_backends == ("ca-1",)
        assert insight.m_tls.certificate_regenerations == 1
        assert insight.metadata["x"] == ("Bearer *****",)
        assert token not in repr(insight)


async def test_a_refusal_by_the_proxy_is_in_its_insight(tmp_path: Path) -> None:
    async with running(await first_store(), tmp_path) as plane:
        token = await plane.token("web-1")
        async with plane.client(dataplane(), token, auto_ack=False) as client:
            await client.ask(LISTENER)
            await client.until(lambda: client.responses)
            await client.answer(client.responses[0], error="Error adding/updating listener(s)")

            async def rejected() -> bool:
                insight = await plane.insight()
                return bool(insight and insight.subscriptions[-1].status.lds.responses_rejected)

            await eventually(rejected)
        assert plane.server.stats.nacks == {"Listener": 1}
