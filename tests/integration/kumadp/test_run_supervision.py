"""`kuma-dp run` around a recording stand-in for Envoy: command line, environment, signals, exit codes."""

from __future__ import annotations

import json
import os
import resource
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest

from agent_runs import FAKE_ENVOY, Agents, envoy_of
from fake_cp import token
from lab import Program, eventually


class Recorder:
    """Starts agents with the stand-in and reads what it wrote."""

    def __init__(self, kuma_dp: Agents) -> None:
        self.kuma_dp = kuma_dp
        self.path = kuma_dp.folder / "envoy.log"

    def start(self, *arguments: str, **environ: str) -> Program:
        log = {"FAKE_ENVOY_LOG": str(self.path)}
        return self.kuma_dp.start(f"--binary-path={FAKE_ENVOY}", *arguments, **log, **environ)

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def started(self, agent: Program) -> dict[str, Any]:
        agent.wait_until(lambda: self.entries, "Envoy's start")
        self.kuma_dp.until_supervised(agent)
        return self.entries[0]


@pytest.fixture
def recorder(kuma_dp: Agents) -> Recorder:
    return Recorder(kuma_dp)


def test_envoy_gets_the_command_line_of_kuma_and_a_private_bootstrap(recorder: Recorder) -> None:
    work_dir = recorder.kuma_dp.folder / "work"
    agent = recorder.start(f"--work-dir={work_dir}", "--concurrency=2", "--drain-time=7s")
    entry = recorder.started(agent)
    assert entry["argv"] == [
        "--config-path",
        str(work_dir / "bootstrap.yaml"),
        "--drain-time-s",
        "7",
        "--drain-strategy",
        "immediate",
        "--disable-hot-restart",
        "--log-level",
        "info",
        "--concurrency",
        "2",
    ]
    assert entry["bootstrap_mode"] == 0o600
    assert work_dir.stat().st_mode & 0o777 == 0o711
    assert entry["group"] == entry["pid"] == envoy_of(agent).pid
    assert agent.end() == 0
    assert work_dir.is_dir()


def test_envoy_may_open_as_many_files_as_the_host_allows(recorder: Recorder) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard // 2, hard))
    try:
        agent = recorder.start()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert recorder.started(agent)["file_limits"] == [hard, hard]
    assert agent.end() == 0


@pytest.mark.parametrize("how", ["flag", "variable", "file"])
def test_no_process_and_no_file_shows_the_token(recorder: Recorder, how: str, token_file: Path) -> None:
    work_dir = recorder.kuma_dp.folder / "work"
    options = {
        "flag": ([f"--dataplane-token={token()}"], {}),
        "variable": ([], {"KUMA_DATAPLANE_RUNTIME_TOKEN": token()}),
        "file": ([f"--dataplane-token-file={token_file}"], {}),
    }
    arguments, environ = options[how]
    agent = recorder.start(f"--work-dir={work_dir}", "--log-level=debug", *arguments, **environ)
    entry = recorder.started(agent)
    assert recorder.kuma_dp.plane.bootstrap_requests[0]["dataplaneToken"] == token()
    assert token() not in json.dumps(entry)
    assert [path for path in work_dir.iterdir() if path.is_file() and token() in path.read_text()] == []
    assert token() not in agent.log
    assert ("--dataplane-token shows the token" in agent.log) is (how == "flag")
    assert agent.end() == 0


@pytest.mark.parametrize(("code", "exit_code"), [(0, 0), (7, 7), (-11, 139)])
def test_envoy_s_own_end_is_the_exit_code(recorder: Recorder, code: int, exit_code: int) -> None:
    agent = recorder.start(FAKE_ENVOY_EXIT=str(code))
    assert agent.process.wait(20) == exit_code
    assert ("before it was ready" in agent.log) is (code != 0)
    assert "Traceback" not in agent.log
    assert recorder.kuma_dp.temporary_dirs == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_requested_stop_is_exit_code_0(recorder: Recorder, number: int) -> None:
    agent = recorder.start()
    pid = recorder.started(agent)["pid"]
    assert len(recorder.kuma_dp.temporary_dirs) == 1
    assert agent.end(number) == 0
    assert recorder.entries[-1] == {"signal": "SIGTERM"}
    assert not psutil.pid_exists(pid)
    assert recorder.kuma_dp.temporary_dirs == []


def test_a_further_signal_kills_an_envoy_that_will_not_stop(recorder: Recorder) -> None:
    agent = recorder.start(FAKE_ENVOY_STUBBORN="1")
    pid = recorder.started(agent)["pid"]
    agent.process.send_signal(signal.SIGTERM)
    agent.wait_until(lambda: {"signal": "SIGTERM"} in recorder.entries, "SIGTERM at Envoy")
    assert agent.end() == 1
    assert "a stop signal came while it was ending already" in agent.log
    assert not psutil.pid_exists(pid)


def test_an_envoy_that_will_not_stop_is_killed_after_the_grace(recorder: Recorder) -> None:
    agent = recorder.start(FAKE_ENVOY_STUBBORN="1")
    pid = recorder.started(agent)["pid"]
    assert agent.end() == 0
    assert not psutil.pid_exists(pid)


def test_envoy_dies_with_a_killed_agent(recorder: Recorder) -> None:
    agent = recorder.start(FAKE_ENVOY_STUBBORN="1")
    pid = recorder.started(agent)["pid"]
    agent.end(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid), "Envoy's end")


def test_envoy_dies_with_a_killed_agent_where_setpriv_is_missing(recorder: Recorder, tmp_path: Path) -> None:
    empty = tmp_path / "bin"
    empty.mkdir()
    (empty / "env").symlink_to("/usr/bin/env")
    (empty / "python3").symlink_to("/usr/bin/env".replace("env", "python3"))
    agent = recorder.start(FAKE_ENVOY_STUBBORN="1", PATH=str(empty))
    pid = recorder.started(agent)["pid"]
    agent.end(signal.SIGKILL)
    eventually(lambda: not psutil.pid_exists(pid), "Envoy's end")


def test_an_inline_resource_with_variables_reaches_the_control_plane(recorder: Recorder) -> None:
    plane = recorder.kuma_dp.plane
    agent = recorder.kuma_dp.run(
        f"--cp-address={plane.url}",
        f"--ca-cert-file={plane.ca_path}",
        f"--binary-path={FAKE_ENVOY}",
        "--dataplane={type: Dataplane, mesh: demo, name: {{ name }}, networking: {address: '{{address}}'}}",
        "--dataplane-var=name=web-7",
        "-v",
        "address=127.0.0.1",
        FAKE_ENVOY_LOG=str(recorder.path),
    )
    recorder.started(agent)
    (request,) = plane.bootstrap_requests
    assert (request["mesh"], request["name"]) == ("demo", "web-7")
    resource = json.loads(request["dataplaneResource"])
    assert resource["networking"]["address"] == "127.0.0.1"
    assert resource["networking"]["admin"]["port"] > 0
    assert agent.end() == 0


def test_a_stop_while_the_control_plane_is_asked_leaves_nothing(recorder: Recorder) -> None:
    recorder.kuma_dp.plane.answers.extend([(503, b"")] * 1_000)
    agent = recorder.start()
    agent.wait_until(lambda: "no bootstrap" in agent.log, "the first attempt")
    assert agent.end() == 0
    assert recorder.entries == []
    assert recorder.kuma_dp.temporary_dirs == []


def test_sigusr2_before_envoy_is_ready_changes_nothing(recorder: Recorder) -> None:
    agent = recorder.start()
    recorder.started(agent)
    os.kill(agent.process.pid, signal.SIGUSR2)
    assert agent.end() == 0
