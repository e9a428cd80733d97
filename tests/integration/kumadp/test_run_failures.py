"""Every start that cannot work: one line that names cause and remedy, an exit code, nothing left behind."""

from __future__ import annotations

import http.server
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runs import Agents
from fake_cp import write_certificate
from lab import Program, free_port


def fails(agent: Program, kuma_dp: Agents, *parts: str, code: int = 1) -> None:
    assert agent.process.wait(30) == code, agent.log
    errors = [line for line in agent.log.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, agent.log
    for part in parts:
        assert part in errors[0]
    assert "Traceback" not in agent.log
    assert kuma_dp.temporary_dirs == []


def test_an_untrusted_certificate(kuma_dp: Agents, tmp_path: Path) -> None:
    other, _ = write_certificate(tmp_path / "other")
    agent = kuma_dp.start(f"--ca-cert-file={other}")
    fails(agent, kuma_dp, "certificate is not trusted", str(other), "--ca-cert-file")
    assert kuma_dp.plane.bootstrap_requests == []


def test_a_certificate_of_no_known_authority(kuma_dp: Agents) -> None:
    agent = kuma_dp.run("--name=a", f"--cp-address={kuma_dp.plane.url}")
    fails(agent, kuma_dp, "the system's authorities", "--ca-cert-file")


def test_skip_verify_warns_and_goes_on(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((422, b"as far as here"))
    agent = kuma_dp.run("--name=a", f"--cp-address={kuma_dp.plane.url}", "--skip-verify")
    fails(agent, kuma_dp, "(422): as far as here")
    assert "whoever answers" in agent.log


def test_the_local_control_plane_s_certificate_is_found(kuma_dp: Agents, tmp_path: Path) -> None:
    (tmp_path / ".kuma").mkdir()
    (tmp_path / ".kuma" / "kuma-cp.crt").write_text(kuma_dp.plane.ca_pem)
    kuma_dp.plane.answers.append((422, b"as far as here"))
    agent = kuma_dp.run("--name=a", f"--cp-address={kuma_dp.plane.url}")
    fails(agent, kuma_dp, "(422): as far as here")
    assert kuma_dp.plane.bootstrap_requests[0]["caCert"] == kuma_dp.plane.ca_pem


def test_the_certificate_may_come_as_text(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((422, b"as far as here"))
    agent = kuma_dp.run(
        "--name=a", f"--cp-address={kuma_dp.plane.url}", KUMA_CONTROL_PLANE_CA_CERT=kuma_dp.plane.ca_pem
    )
    fails(agent, kuma_dp, "(422): as far as here")


def test_a_proxy_of_the_environment_is_not_asked(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((422, b"as far as here"))
    proxy = "http://127.0.0.1:1"
    agent = kuma_dp.start(HTTPS_PROXY=proxy, https_proxy=proxy, ALL_PROXY=proxy)
    fails(agent, kuma_dp, "(422): as far as here")


def test_the_control_plane_s_refusal_is_shown_and_final(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((422, b"networking.address: must be\n a valid IP"))
    fails(kuma_dp.start(), kuma_dp, "(422): networking.address: must be a valid IP")
    assert len(kuma_dp.plane.bootstrap_requests) == 1


def test_the_port_of_the_api_server(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((404, b"404: Page Not Found"))
    fails(kuma_dp.start(), kuma_dp, "5678", "--cp-address")


@pytest.fixture
def plain_http_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler) as server:
        server.RequestHandlerClass.log_message = lambda *_: None  # type: ignore[method-assign]  # quiet
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def test_a_port_that_speaks_plain_http(kuma_dp: Agents, plain_http_port: int) -> None:
    agent = kuma_dp.run("--name=a", f"--cp-address=https://localhost:{plain_http_port}")
    fails(agent, kuma_dp, "does not speak TLS", "5678")


def test_nobody_there_until_the_time_is_up(kuma_dp: Agents) -> None:
    agent = kuma_dp.run(
        "--name=a",
        f"--cp-address=https://localhost:{free_port()}",
        KUMA_CONTROL_PLANE_RETRY_MAX_DURATION="300ms",
        KUMA_CONTROL_PLANE_RETRY_BACKOFF="100ms",
    )
    fails(agent, kuma_dp, "Connection refused", "attempts")
    assert "next attempt in" in agent.log


def test_a_bootstrap_that_is_none(kuma_dp: Agents) -> None:
    kuma_dp.plane.answers.append((200, b'{"bootstrap": "bm9kZToge30="}'))
    fails(kuma_dp.start(), kuma_dp, "no ads_config")


def test_a_missing_envoy(kuma_dp: Agents) -> None:
    agent = kuma_dp.start("--binary-path=/no/such/envoy")
    fails(agent, kuma_dp, "no Envoy named '/no/such/envoy'", "--binary-path")


def test_a_program_that_is_no_envoy(kuma_dp: Agents) -> None:
    fails(kuma_dp.start("--binary-path=/bin/ls"), kuma_dp, "/bin/ls is not an Envoy")


def test_a_readiness_port_in_use(kuma_dp: Agents) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        agent = kuma_dp.start(KUMA_READINESS_PORT=str(port))
        fails(agent, kuma_dp, f"KUMA_READINESS_PORT {port} is in use")


def test_an_admin_port_in_use(kuma_dp: Agents) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        resource = kuma_dp.resource("own-admin", admin={"port": port})
        agent = kuma_dp.run(f"--dataplane-file={resource}", f"--cp-address={kuma_dp.plane.url}")
        fails(agent, kuma_dp, f"networking.admin.port {port} is in use")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("type: Dataplane\n  name: [", ("dp.yaml:2:",)),
        ("type: Mesh\nname: a\n", ("the type is Mesh", "--proxy-type=dataplane needs Dataplane")),
        ("type: Dataplane\nname: {{ name }}\n", ("variable name has no value", "-v name=")),
        ("", ("is empty",)),
    ],
)
def test_a_bad_resource(kuma_dp: Agents, tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    path = tmp_path / "dp.yaml"
    path.write_text(text)
    agent = kuma_dp.run(f"--dataplane-file={path}")
    assert agent.process.wait(30) in (1, 2)
    fails(agent, kuma_dp, *parts, code=agent.process.returncode)


def test_an_empty_standard_input(kuma_dp: Agents) -> None:
    fails(kuma_dp.run("--dataplane-file=-"), kuma_dp, "standard input is empty")


def test_files_that_are_not_there(kuma_dp: Agents) -> None:
    fails(kuma_dp.run("--dataplane-file=/no/dp.yaml"), kuma_dp, "/no/dp.yaml cannot be read: No such file")
    fails(kuma_dp.run("--name=a", "--dataplane-token-file=/no/t"), kuma_dp, "token file /no/t cannot be read")
    fails(kuma_dp.run("--name=a", "--ca-cert-file=/no/ca"), kuma_dp, "/no/ca cannot be read")


def test_a_token_that_is_none(kuma_dp: Agents, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("hello")
    agent = kuma_dp.run("--name=a", f"--dataplane-token-file={path}")
    fails(agent, kuma_dp, f"the token file {path} does not hold a token", "kumactl generate dataplane-token")


def test_a_work_dir_that_cannot_be_made(kuma_dp: Agents, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    agent = kuma_dp.start(f"--work-dir={tmp_path / 'file' / 'dir'}")
    fails(agent, kuma_dp, "cannot be used: Not a directory", "--work-dir")


def test_a_work_dir_that_cannot_be_written(kuma_dp: Agents) -> None:
    agent = kuma_dp.start("--work-dir=/proc/sys")
    fails(agent, kuma_dp, "the work dir /proc/sys cannot be used", "--work-dir")


def test_a_work_dir_in_use(kuma_dp: Agents, tmp_path: Path) -> None:
    kuma_dp.plane.answers.extend([(503, b"")] * 1_000)
    first = kuma_dp.start(f"--work-dir={tmp_path / 'w'}", name="first")
    first.wait_until(lambda: "next attempt in" in first.log, "the first attempt")
    second = kuma_dp.start(f"--work-dir={tmp_path / 'w'}", name="second")
    fails(second, kuma_dp, "in use by another kuma-dp")
    assert first.end() == 0


def test_no_name(kuma_dp: Agents) -> None:
    fails(kuma_dp.run(), kuma_dp, "the proxy has no name", "--dataplane-file", code=2)


def test_an_unknown_flag(kuma_dp: Agents) -> None:
    fails(kuma_dp.run("--nmae=a"), kuma_dp, "--nmae", code=2)
