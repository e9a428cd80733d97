"""The connection of a zone to its global control plane: trust, refusals, ends, and what is said of them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from joined_zone import PATIENCE_S, joined_zone
from kumacp.kds.protocol.streams import GLOBAL_TO_ZONE, HEALTH_CHECK, XDS_CONFIGS, ZONE_TO_GLOBAL
from kumacp.store.memory import MemoryStore
from mesh_pki import Pki
from permissions import dataplane
from scripted_global import scripted_global
from tcp_relay import relays

PKI = Pki.create("default")
IDENTITY = PKI.server("global.example", "localhost")


class Lines:
    """Log lines as they come."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def all(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records if record.levelno >= 20]

    async def with_text(self, text: str) -> str:
        async with asyncio.timeout(PATIENCE_S):
            while not (found := [line for line in self.all() if text in line]):
                await asyncio.sleep(0.01)
        return found[0]


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Lines:
    caplog.set_level("INFO")
    return Lines(caplog)


def ca_file(folder: Path) -> Path:
    path = folder / "ca.pem"
    path.write_bytes(PKI.ca)
    return path


class TestCertificates:
    async def test_a_root_ca_file_is_enough(self, tmp_path: Path, lines: Lines) -> None:
        async with (
            scripted_global(IDENTITY) as world,
            joined_zone(world.port, tls=True, host="localhost", kds_root_ca_file=ca_file(tmp_path)),
        ):
            await world.opened(GLOBAL_TO_ZONE)
        assert any("joined the global control plane" in line for line in lines.all())

    async def test_any_certificate_does_when_told_so(self) -> None:
        """For another name, of an unknown CA."""
        async with (
            scripted_global(PKI.server("elsewhere.example")) as world,
            joined_zone(world.port, tls=True, kds_tls_skip_verify=True),
        ):
            await world.opened(GLOBAL_TO_ZONE)

    async def test_a_new_certificate_is_accepted_too_when_told_so(self) -> None:
        async with (
            scripted_global(PKI.server("one.example")) as world,
            joined_zone(world.port, tls=True, kds_tls_skip_verify=True),
        ):
            await world.opened(GLOBAL_TO_ZONE)
            await world.stop()
            await world.start(Pki.create("other").server("two.example"))
            await world.opened(GLOBAL_TO_ZONE)

    async def test_an_unknown_ca_is_not_trusted_and_the_settings_are_named(self, lines: Lines) -> None:
        async with scripted_global(IDENTITY) as world, joined_zone(world.port, tls=True, host="localhost"):
            line = await lines.with_text("is not trusted")
            assert world.pings == 0
        assert "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE" in line
        assert "KUMA_MULTIZONE_ZONE_KDS_TLS_SKIP_VERIFY" in line
        assert f"localhost:{world.port}" in line

    async def test_a_certificate_for_another_name_is_not_trusted(self, tmp_path: Path, lines: Lines) -> None:
        async with (
            scripted_global(PKI.server("elsewhere.example")) as world,
            joined_zone(world.port, tls=True, host="localhost", kds_root_ca_file=ca_file(tmp_path)),
        ):
            line = await lines.with_text("is for another name")
            assert world.pings == 0
        assert "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS" in line

    async def test_a_file_that_is_missing_is_named(self, tmp_path: Path, lines: Lines) -> None:
        missing = tmp_path / "missing.pem"
        async with joined_zone(1, tls=True, kds_root_ca_file=missing):
            line = await lines.with_text("cannot be read")
        assert str(missing) in line
        assert "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE" in line

    async def test_a_file_without_a_certificate_is_named(self, tmp_path: Path, lines: Lines) -> None:
        rubbish = tmp_path / "ca.pem"
        rubbish.write_text("rubbish")
        async with (
            scripted_global(IDENTITY) as world,
            joined_zone(world.port, tls=True, kds_root_ca_file=rubbish),
        ):
            line = await lines.with_text("no PEM certificate")
            assert world.pings == 0
        assert str(rubbish) in line
        assert "KUMA_MULTIZONE_ZONE_KDS_ROOT_CA_FILE" in line

    @pytest.mark.parametrize("skip", [True, False])
    async def test_tls_to_a_plain_port_is_told(self, lines: Lines, skip: bool) -> None:
        async with scripted_global() as world, joined_zone(world.port, tls=True, kds_tls_skip_verify=skip):
            line = await lines.with_text("does not speak TLS")
        assert "grpc://" in line

    async def test_plain_text_to_a_tls_port_is_told(self, lines: Lines) -> None:
        async with scripted_global(IDENTITY) as world, joined_zone(world.port):
            line = await lines.with_text("grpcs://")
        assert "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS" in line


@pytest.mark.parametrize("skip", [True, False])
async def test_a_port_where_nobody_is_is_told(lines: Lines, skip: bool) -> None:
    async with joined_zone(1, tls=True, kds_tls_skip_verify=skip):
        line = await lines.with_text("cannot be reached")
    assert "Connection refused" in line
    assert "KUMA_MULTIZONE_ZONE_GLOBAL_ADDRESS" in line


class TestToken:
    async def test_the_token_of_the_file_is_shown_and_never_logged(
        self, tmp_path: Path, lines: Lines
    ) -> None:
        token = tmp_path / "token"
        token.write_text("secret.token.text\n")
        async with scripted_global() as world, joined_zone(world.port, kds_cp_token_path=token):
            down = await world.opened(GLOBAL_TO_ZONE)
        assert down.header("authorization") == ["Bearer secret.token.text"]
        assert ("authorization", "Bearer secret.token.text") in world.ping_metadata
        assert "secret.token" not in "".join(lines.all())

    async def test_a_file_that_holds_no_token_is_named(self, tmp_path: Path, lines: Lines) -> None:
        token = tmp_path / "token"
        token.write_text("two\nlines\n")
        async with scripted_global() as world, joined_zone(world.port, kds_cp_token_path=token):
            line = await lines.with_text("holds no token")
            assert world.pings == 0
        assert str(token) in line
        assert "KUMA_MULTIZONE_ZONE_KDS_AUTH_CP_TOKEN_PATH" in line

    async def test_a_file_that_holds_no_text_is_named_and_can_be_mended(
        self, tmp_path: Path, lines: Lines
    ) -> None:
        token = tmp_path / "token"
        token.write_bytes(b"\xff\xfe\x00")
        async with scripted_global() as world, joined_zone(world.port, kds_cp_token_path=token):
            assert str(token) in await lines.with_text("holds no token")
            token.write_text("a.b.c")
            await world.opened(GLOBAL_TO_ZONE)


async def test_an_answer_that_is_none_is_told_and_tried_again(lines: Lines) -> None:
    async with scripted_global() as world:
        world.ping_answer = b"\xff\xff\xff"
        async with joined_zone(world.port):
            line = await lines.with_text("no message of the global KDS service")
            world.ping_answer = None
            await world.opened(GLOBAL_TO_ZONE)
    assert str(world.port) in line


async def test_a_later_answer_that_is_none_leaves_the_streams_alone() -> None:
    async with scripted_global() as world:
        world.ping_interval_s = 0.01
        async with joined_zone(world.port) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            await world.pinged(3)  # it knows the short interval
            world.ping_answer = b"\xff\xff\xff"
            await world.pinged(world.pings + 3)
            assert not down.over.is_set()
            assert zone.federation.figures.connected == 1


class TestRefusals:
    async def test_a_refusal_is_told_once_with_the_words_of_global(self, lines: Lines) -> None:
        async with scripted_global() as world:
            world.refusals[HEALTH_CHECK] = (grpc.StatusCode.UNAUTHENTICATED, "bring a token")
            async with joined_zone(world.port) as zone:
                line = await lines.with_text("refuses this zone")
                async with asyncio.timeout(PATIENCE_S):
                    while zone.federation.figures.failures < 2:
                        await asyncio.sleep(0.01)
        assert "bring a token" in line
        assert len([each for each in lines.all() if "refuses this zone" in each]) == 1

    async def test_a_refused_stream_leaves_the_others_alone(self, lines: Lines) -> None:
        async with scripted_global() as world:
            world.refusals[ZONE_TO_GLOBAL] = (grpc.StatusCode.INVALID_ARGUMENT, "no such thing")
            async with joined_zone(world.port):
                down = await world.opened(GLOBAL_TO_ZONE)
                assert "no such thing" in await lines.with_text("a stream ended")
                world.refusals.clear()
                await world.opened(ZONE_TO_GLOBAL)
                await down.asked("Mesh")
                assert not down.over.is_set()

    async def test_what_ends_all_streams_is_told_once(self, lines: Lines) -> None:
        async with scripted_global() as world:
            for method in (GLOBAL_TO_ZONE, ZONE_TO_GLOBAL, XDS_CONFIGS):
                world.refusals[method] = (grpc.StatusCode.FAILED_PRECONDITION, "another one is there")
            async with joined_zone(world.port) as zone:
                await lines.with_text("another one is there")
                async with asyncio.timeout(PATIENCE_S):
                    while zone.federation.figures.ends.get("FAILED_PRECONDITION", 0) < 7:
                        await asyncio.sleep(0.01)
        assert len([line for line in lines.all() if "another one is there" in line]) == 1

    async def test_streams_that_global_does_not_know_are_left_out(self, lines: Lines) -> None:
        async with scripted_global() as world:
            world.refusals[XDS_CONFIGS] = (grpc.StatusCode.UNIMPLEMENTED, "unknown method")
            async with joined_zone(world.port):
                down = await world.opened(GLOBAL_TO_ZONE)
                await down.asked("Mesh")
        assert not [line for line in lines.all() if "a stream ended" in line]


class TestEnds:
    async def test_a_stream_that_ends_is_opened_again_alone(self) -> None:
        async with scripted_global() as world, joined_zone(world.port) as zone:
            down = await world.opened(GLOBAL_TO_ZONE)
            up = await world.opened(ZONE_TO_GLOBAL)
            await down.end(grpc.StatusCode.INTERNAL, "stream failed")
            again = await world.opened(GLOBAL_TO_ZONE)
            await again.asked("Mesh")
            assert not up.over.is_set()
            assert zone.federation.figures.connections == 1

    async def test_global_goes_away_and_comes_back(self, lines: Lines) -> None:
        store = MemoryStore()
        await store.create(dataplane("a"))
        async with scripted_global() as world, joined_zone(world.port, store=store) as zone:
            up = await world.opened(ZONE_TO_GLOBAL)
            await up.ask("Dataplane")
            await up.hear("Dataplane")
            await world.stop()
            await lines.with_text("was lost")
            assert zone.federation.figures.connected == 0
            await store.create(dataplane("b"))
            await world.start()
            up = await world.opened(ZONE_TO_GLOBAL)
            await up.ask("Dataplane")
            assert len((await up.hear("Dataplane")).resources) == 2
            assert zone.federation.figures.connected == 1

    async def test_a_zone_starts_without_its_global(self, lines: Lines) -> None:
        async with scripted_global() as world:
            await world.stop()
            async with joined_zone(world.port) as zone:
                assert "goes on with what it has" in await lines.with_text("cannot be reached")
                await zone.store.create(dataplane("a"))
                await world.start()
                up = await world.opened(ZONE_TO_GLOBAL)
                await up.ask("Dataplane")
                assert len((await up.hear("Dataplane")).resources) == 1

    async def test_a_network_that_is_cut_and_heals(self, lines: Lines) -> None:
        with relays() as new:
            async with scripted_global() as world:
                relay = new(world.address)
                async with joined_zone(relay.port) as zone:
                    await world.opened(GLOBAL_TO_ZONE)
                    await asyncio.to_thread(relay.refuse)
                    await lines.with_text("was lost")
                    await zone.store.create(dataplane("meanwhile"))
                    await asyncio.to_thread(relay.heal)
                    up = await self._fresh(world)
                    await up.ask("Dataplane")
                    assert len((await up.hear("Dataplane")).resources) == 1

    @staticmethod
    async def _fresh(world):  # type: ignore[no-untyped-def]
        """The stream of the second connection."""
        await world.opened(ZONE_TO_GLOBAL)
        return await world.opened(ZONE_TO_GLOBAL)


class TestHealth:
    async def test_pings_come_at_the_interval_that_global_names(self) -> None:
        async with scripted_global() as world:
            world.ping_interval_s = 0.01
            async with joined_zone(world.port):
                await world.pinged(4)
        assert ("client-id", "zone-1") in world.ping_metadata

    async def test_a_global_without_pings_is_joined_all_the_same(self) -> None:
        async with scripted_global() as world:
            world.ping_interval_s = None
            async with joined_zone(world.port):
                down = await world.opened(GLOBAL_TO_ZONE)
                await down.asked("Mesh")
