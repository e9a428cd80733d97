"""`kuma-dp run` with a real Envoy: ready, two on a host, refusals, drain, kill -9."""

from __future__ import annotations

import functools
import json
import signal
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from agent_runs import Agents, ask_ready, envoy_of
from fake_cp import FakeControlPlane, Stream, serve, tcp_listener, token
from lab import Program, eventually, free_port, http

QUIET = "--envoy-log-level=error"


@pytest.fixture
def echo_port() -> Iterator[int]:
    """An application that gives back what it is sent."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve_one(connection: socket.socket) -> None:
        with connection:
            while data := connection.recv(65_536):
                connection.sendall(data)

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            threading.Thread(target=serve_one, args=(connection,), daemon=True).start()

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()


class Site:
    """A proxy port in front of the echo application."""

    def __init__(self, plane: FakeControlPlane, echo_port: int) -> None:
        self.port = free_port()
        plane.script = functools.partial(serve, tcp_listener(self.port, echo_port))

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=10)

    def echoes(self, connection: socket.socket) -> bool:
        connection.sendall(b"hello")
        return connection.recv(5) == b"hello"


@pytest.fixture
def site(fake_plane: FakeControlPlane, echo_port: int) -> Site:
    return Site(fake_plane, echo_port)


def ready(agent: Program, address: int | Path) -> None:
    agent.wait_until(lambda: ask_ready(address)[0] == 200, "READY")


def ends(plane: FakeControlPlane) -> list[str]:
    return [stream.end for stream in plane.streams]


def test_it_becomes_ready_and_serves(kuma_dp: Agents, site: Site, tmp_path: Path, token_file: Path) -> None:
    work_dir, readiness = tmp_path / "w", free_port()
    agent = kuma_dp.start(
        QUIET,
        f"--work-dir={work_dir}",
        f"--dataplane-token-file={token_file}",
        KUMA_READINESS_PORT=str(readiness),
    )
    ready(agent, readiness)
    with site.connect() as connection:
        assert site.echoes(connection)
    status, text, headers = ask_ready(work_dir / "kuma-readiness-reporter.sock")
    assert (status, text) == (200, "READY")
    assert headers["content-type"] == "text/plain"
    assert headers["cache-control"] == "no-cache, max-age=0"
    assert headers["x-powered-by"] == "kuma-dp"
    for name in ("kuma-xds.sock", "kuma-readiness-reporter.sock"):
        assert stat.S_IMODE((work_dir / name).stat().st_mode) == 0o600
    assert [stream.token for stream in kuma_dp.plane.streams] == [token()]
    assert token() not in (work_dir / "bootstrap.yaml").read_text()
    assert agent.end() == 0
    assert not (work_dir / "kuma-xds.sock").exists()


def test_envoy_s_health_reports_take_the_same_way(kuma_dp: Agents, site: Site, token_file: Path) -> None:
    plane = kuma_dp.plane
    plane.hds, configuring = True, plane.script

    async def script(stream: Stream) -> None:
        if not stream.method.endswith("/StreamHealthCheck"):
            await configuring(stream)
        while await stream.read() is not None:
            pass

    plane.script = script
    agent = kuma_dp.start(QUIET, f"--dataplane-token-file={token_file}")
    agent.wait_until(lambda: len([s for s in plane.streams if s.requests]) == 2, "both streams")
    assert [stream.token for stream in plane.streams] == [token(), token()]
    assert agent.end() == 0


@pytest.mark.parametrize(("proxy_type", "kind"), [("ingress", "ZoneIngress"), ("egress", "ZoneEgress")])
def test_zone_proxies_take_the_same_way(
    kuma_dp: Agents, site: Site, tmp_path: Path, proxy_type: str, kind: str
) -> None:
    path, readiness = tmp_path / "zone.yaml", free_port()
    document = {"type": kind, "name": "zone-1", "networking": {"address": "127.0.0.1", "port": free_port()}}
    path.write_text(json.dumps(document))
    agent = kuma_dp.run(
        QUIET,
        f"--proxy-type={proxy_type}",
        f"--dataplane-file={path}",
        f"--cp-address={kuma_dp.plane.url}",
        f"--ca-cert-file={kuma_dp.plane.ca_path}",
        KUMA_READINESS_PORT=str(readiness),
    )
    ready(agent, readiness)
    (request,) = kuma_dp.plane.bootstrap_requests
    assert (request["proxyType"], request["mesh"], request["name"]) == (proxy_type, "", "zone-1")
    assert agent.end() == 0


def test_two_agents_share_a_host_without_any_settings(kuma_dp: Agents, site: Site) -> None:
    first = kuma_dp.start(QUIET, name="web-1")
    second = kuma_dp.start(QUIET, name="web-2")
    first.wait_until(lambda: ": ready " in first.log, "READY")
    second.wait_until(lambda: ": ready " in second.log, "READY")
    one, two = kuma_dp.plane.bootstrap_requests
    admin = {
        json.loads(request["dataplaneResource"])["networking"]["admin"]["port"] for request in (one, two)
    }
    readiness = {request["readinessPort"] for request in (one, two)}
    assert len(admin | readiness) == 4
    for port in admin:
        assert http("GET", f"http://127.0.0.1:{port}/ready")[0] == 200
    for port in readiness:
        assert ask_ready(port)[0] == 200
    assert (first.end(), second.end()) == (0, 0)


def test_a_taken_admin_port_is_replaced_where_the_control_plane_chose_it(kuma_dp: Agents, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        kuma_dp.plane.admin_port = taken.getsockname()[1]
        agent = kuma_dp.run(
            QUIET,
            "--name=web-1",
            f"--cp-address={kuma_dp.plane.url}",
            f"--ca-cert-file={kuma_dp.plane.ca_path}",
        )
        agent.wait_until(lambda: ": ready " in agent.log, "READY")
        assert f"port {kuma_dp.plane.admin_port} is taken; Envoy's admin interface gets" in agent.log
        assert agent.end() == 0


def test_sigterm_drains_and_waits_for_open_connections(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, "--drain-time=60s", KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    envoy = envoy_of(agent)
    with site.connect() as connection:
        assert site.echoes(connection)
        agent.process.send_signal(signal.SIGTERM)
        agent.wait_until(lambda: ask_ready(readiness)[1] == "TERMINATING", "TERMINATING")
        eventually(lambda: ends(kuma_dp.plane) == ["half-closed"], "a clean end at the control plane")
        assert site.echoes(connection)
        with site.connect() as another:
            assert site.echoes(another)
        assert agent.running
    assert agent.process.wait(20) == 0
    assert not envoy.is_running()
    assert kuma_dp.temporary_dirs == []


def test_a_second_signal_ends_the_drain(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, "--drain-time=60s", KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    with site.connect() as connection:
        assert site.echoes(connection)
        agent.process.send_signal(signal.SIGTERM)
        agent.wait_until(lambda: ask_ready(readiness)[1] == "TERMINATING", "TERMINATING")
        assert agent.end() == 0


def test_the_drain_time_is_the_longest_wait(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, "--drain-time=1500ms", KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    with site.connect() as connection:
        assert site.echoes(connection)
        assert agent.end() == 0


def test_sigusr2_drains_inbound_and_the_proxy_goes_on(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, "--drain-time=1s", KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    agent.process.send_signal(signal.SIGUSR2)
    agent.wait_until(lambda: "inbound listeners are draining" in agent.log, "Envoy's consent")
    assert ask_ready(readiness)[0] == 200
    with site.connect() as connection:
        assert site.echoes(connection)
    assert agent.end() == 0


def test_kill_9_of_the_agent_leaves_no_envoy(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    envoy = envoy_of(agent)
    agent.end(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(envoy.pid), "Envoy's end")
    eventually(lambda: ends(kuma_dp.plane) == ["cancelled"], "an unclean end at the control plane")


def test_an_envoy_that_is_killed_gives_its_exit_code(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    envoy_of(agent).kill()
    assert agent.process.wait(20) == 137
    assert "Error: Envoy was killed by SIGKILL" in agent.log
    assert kuma_dp.temporary_dirs == []
    assert ends(kuma_dp.plane) == ["cancelled"]


def test_quitquitquit_ends_the_agent_cleanly(kuma_dp: Agents, site: Site) -> None:
    readiness = free_port()
    agent = kuma_dp.start(QUIET, KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    resource = json.loads(kuma_dp.plane.bootstrap_requests[0]["dataplaneResource"])
    http("POST", f"http://127.0.0.1:{resource['networking']['admin']['port']}/quitquitquit")
    assert agent.process.wait(20) == 0


async def deny(stream: Stream) -> None:
    await stream.read()
    await stream.context.abort(grpc.StatusCode.UNAUTHENTICATED, "token is expired")


def test_a_refused_token_ends_an_agent_that_was_never_ready(kuma_dp: Agents, token_file: Path) -> None:
    kuma_dp.plane.script = deny
    agent = kuma_dp.start(QUIET, f"--dataplane-token-file={token_file}")
    assert agent.process.wait(20) == 1
    lines = [line for line in agent.log.splitlines() if "token is expired" in line]
    assert lines == ["Error: the control plane refuses this proxy (UNAUTHENTICATED): token is expired"]
    assert kuma_dp.temporary_dirs == []


def test_a_ready_proxy_outlives_a_refusal_and_comes_back_with_a_new_token(
    kuma_dp: Agents, site: Site, token_file: Path
) -> None:
    plane, readiness = kuma_dp.plane, free_port()
    serving, revoked = plane.script, threading.Event()

    async def script(stream: Stream) -> None:
        if stream.token == token("new"):
            await serving(stream)
        elif revoked.is_set():
            await deny(stream)
        else:
            await stream.read()
            await serving(stream)

    plane.script = functools.partial(serving)
    agent = kuma_dp.start(QUIET, f"--dataplane-token-file={token_file}", KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)
    plane.script = script
    revoked.set()
    plane.cut()
    agent.wait_until(lambda: "token is expired" in agent.log, "the refusal in the log")
    assert ask_ready(readiness)[0] == 200
    with site.connect() as connection:
        assert site.echoes(connection)
    token_file.write_text(token("new"))
    agent.wait_until(lambda: plane.streams[-1].token == token("new"), "a stream with the new token")
    assert agent.end() == 0


def test_envoy_comes_back_soon_after_the_control_plane_does(kuma_dp: Agents, site: Site) -> None:
    """Envoy's own back-off grows up to 30 s: ten attempts would take it minutes."""
    plane, readiness = kuma_dp.plane, free_port()
    serving = plane.script
    agent = kuma_dp.start(QUIET, KUMA_READINESS_PORT=str(readiness))
    ready(agent, readiness)

    async def away(stream: Stream) -> None:
        await stream.context.abort(grpc.StatusCode.UNAVAILABLE, "restarting")

    plane.script = away
    plane.cut()
    agent.wait_until(lambda: len(plane.streams) > 10, "attempts of Envoy")
    plane.script = serving
    count = len(plane.streams)
    agent.wait_until(lambda: len(plane.streams) > count and "is answered again" in agent.log, "a stream")
    assert agent.end() == 0
