"""Ports and files that have to do with names, and `kuma-dp dns lookup`."""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent_runs import FAKE_ENVOY, Agents
from kumadp.settings import DNS_PORT
from kumadp_bootstrap.yamltext import load
from lab import Program, eventually, free_port
from name_plane import NamePlane

VIP = "127.240.0.1"


@contextlib.contextmanager
def taken(port: int) -> Iterator[None]:
    """On loopback for UDP, by us, or by somebody who keeps it: an agent of another test soon lets it go."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:

        def bound() -> bool:
            with contextlib.suppress(OSError):
                sock.bind(("127.0.0.1", port))
            return bool(sock.getsockname()[1])

        with contextlib.suppress(AssertionError):
            eventually(bound, f"port {port} for this test")
        yield


def one_error(agent: Program) -> str:
    assert agent.process.wait(20) == 1
    (line,) = (line for line in agent.log.splitlines() if line.startswith("Error: "))
    assert "Traceback" not in agent.log
    return line


def test_a_chosen_port_that_is_taken_is_one_line(kuma_dp: Agents) -> None:
    port = free_port()
    with taken(port):
        for option in ("--dns-proxy-port", "--dns-coredns-port"):
            line = one_error(kuma_dp.start(f"{option}={port}"))
            assert line == (
                f"Error: the name server's port {port} is in use on 127.0.0.1 or ::1; stop what has it, "
                "choose another --dns-proxy-port (KUMA_DNS_PROXY_PORT), or none to get a free one"
            )
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        line = one_error(kuma_dp.start(f"--dns-prometheus-port={port}"))
        assert f"--dns-prometheus-port (KUMA_DNS_PROMETHEUS_PORT) {port} is in use" in line
    assert kuma_dp.temporary_dirs == []
    assert kuma_dp.plane.bootstrap_requests == []


def test_where_dns_is_redirected_the_default_port_is_not_replaced(kuma_dp: Agents) -> None:
    with taken(DNS_PORT):
        line = one_error(kuma_dp.start("--transparent-proxy"))
    assert f"port {DNS_PORT} is in use" in line
    assert "choose another port both for the redirection of DNS" in line


def test_elsewhere_another_port_is_taken_and_told(kuma_dp: Agents) -> None:
    with taken(DNS_PORT):
        agent = kuma_dp.start("--envoy-log-level=error")
        agent.wait_until(lambda: ": ready " in agent.log, "READY")
    told = re.search(rf"port {DNS_PORT} is taken; names are answered on (\d+)", agent.log)
    assert told
    assert lookup("nobody.mesh", f"--port={told[1]}").returncode == 1
    assert kuma_dp.plane.bootstrap_requests[0]["dnsPort"] == 15054
    assert agent.end() == 0


def test_how_traffic_is_redirected_reaches_request_and_bootstrap(kuma_dp: Agents, tmp_path: Path) -> None:
    first, second = tmp_path / "first.yaml", tmp_path / "second.yaml"
    first.write_text("redirect: {inbound: {port: 1111}, dns: {port: 1}}\nkumaDPUser: '5678'\n")
    second.write_text("ipFamilyMode: ipv4\nredirect: {outbound: {port: 2222}}\n")
    work_dir, port, log = tmp_path / "work", free_port(), tmp_path / "envoy.log"
    agent = kuma_dp.start(
        f"--transparent-proxy-config={first},{second}",
        f"--work-dir={work_dir}",
        f"--dns-proxy-port={port}",
        f"--binary-path={FAKE_ENVOY}",
        FAKE_ENVOY_LOG=str(log),
    )
    agent.wait_until(lambda: log.exists() and log.read_text(), "Envoy's start")
    (request,) = kuma_dp.plane.bootstrap_requests
    expected: dict[str, Any] = {
        "ipFamilyMode": "ipv4",
        "redirect": {
            "inbound": {"enabled": True, "port": 1111},
            "outbound": {"enabled": True, "port": 2222},
            "dns": {"enabled": True, "port": port},
        },
    }
    assert request["dataplaneConfig"] == expected
    metadata = load((work_dir / "bootstrap.yaml").read_text(), "bootstrap")["node"]["metadata"]
    assert metadata["transparentProxy"] == expected
    assert metadata["dataplane.dns.port"] == "15054"
    assert {"feature-embedded-dns", "feature-transparent-proxy-in-dataplane-metadata"} <= set(
        metadata["features"]
    )
    with pytest.raises(OSError), socket.create_connection(("::1", port)):
        pass
    assert agent.end() == 0


def test_settings_come_from_standard_input_and_faults_in_them_are_one_line(
    kuma_dp: Agents, tmp_path: Path
) -> None:
    def run(given: str) -> str:
        argv = [sys.executable, "-m", "kumadp", "run", "--transparent-proxy-config=-", "--name=web-1"]
        argv += [f"--binary-path={FAKE_ENVOY}", "--cp-address=https://localhost:1", "--ca-cert-file=/nowhere"]
        done = subprocess.run(argv, input=given, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode != 0
        return done.stderr

    assert run("ipFamilyMode: ipv4") == (
        "Error: the CA certificate file /nowhere cannot be read: No such file or directory\n"
    )
    assert re.match(
        r"Error: standard input: .*ipFamilyMod.* did you mean ipFamilyMode\?\n", run("ipFamilyMod: x")
    )
    line = one_error(kuma_dp.start("--transparent-proxy-config=/nowhere"))
    assert "the transparent proxy's settings /nowhere cannot be read" in line


def lookup(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "kumadp", "dns", "lookup", *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)


def test_lookup_tells_where_answers_come_from(kuma_dp: Agents) -> None:
    plane = NamePlane(kuma_dp.plane, str(kuma_dp.folder / "dynconf.sock"))
    many = [f"127.240.{number // 250}.{number % 250 + 1}" for number in range(500)]
    plane.first = [plane.table({"backend.mesh": [VIP], "many.mesh": many})]
    port = free_port()
    agent = kuma_dp.start("--envoy-log-level=error", "--bind-outbounds", f"--dns-proxy-port={port}")
    agent.wait_until(lambda: ": ready " in agent.log, "READY")
    at = f"--port={port}"

    found = lookup("backend.mesh", at)
    assert (found.returncode, found.stderr) == (0, "")
    record, origin = found.stdout.splitlines()
    assert record.split() == ["backend.mesh", "30", "A", VIP]
    assert re.fullmatch(r"from: mesh table, 2 names, \d+ s old \(asked over UDP, [\d.]+ ms\)", origin)
    name = lookup(VIP, at)
    assert name.stdout.split()[2:4] == ["PTR", "backend.mesh."]
    cut = lookup("many.mesh", at)
    assert len(cut.stdout.splitlines()) == 501
    assert "asked over TCP" in cut.stdout

    for arguments, reason in (
        (["nobody.mesh"], "nobody.mesh is not a name of the mesh: mesh table, "),
        (["backend.mesh", "--type=mx"], "backend.mesh has no MX record: mesh table, "),
    ):
        missing = lookup(*arguments, at)
        assert (missing.returncode, missing.stdout) == (1, "")
        assert missing.stderr.startswith(f"Error: {reason}")
    assert lookup("backend.mesh", at, "--address=::1").returncode == 0
    assert agent.end() == 0
    gone = lookup("backend.mesh", at)
    assert f":{DNS_PORT}" in lookup("backend.mesh", "--port=0", "--address=127.0.0.77").stderr
    assert gone.returncode == 1
    assert gone.stderr.startswith(f"Error: nobody answers DNS on 127.0.0.1:{port}; is kuma-dp running")


@pytest.mark.parametrize(
    "arguments",
    [
        ["a..b"],
        ["backend.mesh", "--type=WHAT"],
        ["backend.mesh", "--address=localhost"],
        ["--port=70000", "a"],
        ["--port=dns", "a"],
        ["--port=²", "a"],
        ["http://backend.mesh"],
        ["backend.mesh:80"],
        [],
    ],
)
def test_a_wrong_question_is_a_wrong_use(arguments: list[str]) -> None:
    asked = lookup(*arguments)
    assert asked.returncode == 2
    assert asked.stderr.startswith("Error: ")
    assert asked.stderr.count("\n") == 1


def test_a_file_of_settings_that_says_nothing_is_no_default(kuma_dp: Agents, tmp_path: Path) -> None:
    empty, twice = tmp_path / "empty.yaml", tmp_path / "a,b.yaml"
    empty.write_text("\n")
    twice.write_text("redirect: {}")
    line = one_error(kuma_dp.start(f"--transparent-proxy-config={empty}"))
    assert "empty.yaml is empty; it must hold the transparent proxy's settings" in line
    line = one_error(kuma_dp.start(f"--transparent-proxy-config={twice}"))
    assert "/a cannot be read: No such file or directory; commas stand between files" in line


def test_a_host_has_one_transparent_proxy(kuma_dp: Agents, tmp_path: Path) -> None:
    ports, settings = (free_port(), free_port()), tmp_path / "settings.yaml"
    settings.write_text(f"redirect: {{outbound: {{port: {ports[0]}}}, inbound: {{port: {ports[1]}}}}}")
    log = tmp_path / "envoy.log"
    fake = f"--binary-path={FAKE_ENVOY}"

    def start(*arguments: str, name: str) -> Program:
        dns = f"--dns-proxy-port={free_port()}"
        return kuma_dp.start(fake, dns, *arguments, name=name, FAKE_ENVOY_LOG=str(log))

    first = start(f"--transparent-proxy-config={settings}", name="first")
    first.wait_until(lambda: log.exists() and log.read_text(), "Envoy's start")
    line = one_error(start(f"--transparent-proxy-config={settings}", name="second"))
    assert f"port {ports[0]}, to which the host's connections are redirected, is in use" in line
    assert first.end() == 0
    with socket.create_server(("127.0.0.1", ports[1])):
        line = one_error(start(f"--transparent-proxy-config={settings}", name="fourth"))
    assert f"port {ports[1]}, to which" in line
