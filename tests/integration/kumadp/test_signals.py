"""Signals, terminals and the first process of a container."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from agent_runs import FAKE_ENVOY, Agents
from lab import Program, eventually


def start(kuma_dp: Agents, *arguments: str) -> Program:
    log = str(kuma_dp.folder / "envoy.log")
    agent = kuma_dp.start(f"--binary-path={FAKE_ENVOY}", *arguments, FAKE_ENVOY_LOG=log)
    agent.wait_until(lambda: entries(kuma_dp), "Envoy's start")
    kuma_dp.until_supervised(agent)
    return agent


def entries(kuma_dp: Agents) -> list[dict[str, object]]:
    path = kuma_dp.folder / "envoy.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def test_a_closed_terminal_is_a_stop(kuma_dp: Agents) -> None:
    agent = start(kuma_dp)
    assert agent.end(signal.SIGHUP) == 0
    assert entries(kuma_dp)[-1] == {"signal": "SIGTERM"}
    assert kuma_dp.temporary_dirs == []


def test_an_agent_started_by_nohup_outlives_its_terminal(kuma_dp: Agents) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        agent = start(kuma_dp)
    finally:
        signal.signal(signal.SIGHUP, before)
    agent.process.send_signal(signal.SIGHUP)
    agent.process.send_signal(signal.SIGUSR2)
    assert agent.end() == 0
    assert agent.log.count("stopping") == 1
    assert entries(kuma_dp)[-1] == {"signal": "SIGTERM"}


def test_a_stop_is_heard_while_envoy_does_not_tell_its_version(kuma_dp: Agents, tmp_path: Path) -> None:
    binary, pid = tmp_path / "hangs", tmp_path / "pid"
    binary.write_text(f"#!/bin/sh\necho $$ >{pid}\nexec sleep 1000\n")
    binary.chmod(0o755)
    agent = kuma_dp.start(f"--binary-path={binary}")
    agent.wait_until(lambda: kuma_dp.temporary_dirs, "the work dir")
    assert agent.end(timeout_s=10) == 0
    assert kuma_dp.temporary_dirs == []
    assert not psutil.pid_exists(int(pid.read_text()))


def test_closed_standard_streams_are_given_to_nobody(kuma_dp: Agents, tmp_path: Path) -> None:
    arguments = [sys.executable, "-m", "kumadp", "run", f"--cp-address={kuma_dp.plane.url}"]
    arguments += [f"--ca-cert-file={kuma_dp.plane.ca_path}", f"--dataplane-file={kuma_dp.resource()}"]
    arguments += [f"--binary-path={FAKE_ENVOY}"]
    environ = {**os.environ, "FAKE_ENVOY_LOG": str(tmp_path / "envoy.log"), "TMPDIR": str(kuma_dp.tmp)}
    closed = ["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *arguments]
    agent = subprocess.Popen(closed, env=environ)
    try:
        eventually(lambda: entries(kuma_dp), "Envoy's start")
        for pid in (agent.pid, entries(kuma_dp)[0]["pid"]):
            targets = {os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)}
            assert targets == {os.devnull}
        agent.terminate()
        assert agent.wait(20) == 0
    finally:
        agent.kill()
        agent.wait()


def test_a_closed_standard_input_is_an_empty_resource(kuma_dp: Agents) -> None:
    arguments = [sys.executable, "-m", "kumadp", "run", "--dataplane-file=-"]
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$@" <&-', "sh", *arguments], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (
        1, "Error: standard input is empty; it must hold the proxy's resource\n"
    )  # fmt: skip


_WITH_AN_ORPHAN = """
import ctypes, os, subprocess, time
from kumadp.envoy.process import reap_orphans
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER: orphans come here, as to process 1
ours = subprocess.Popen(["true"])
until, end = os.pipe()
orphan = int(subprocess.check_output(["sh", "-c", f"cat <&{until} >/dev/null & echo $!"], pass_fds=[until]))
os.close(end)  # not before: its first parent would still be there to take its exit code
os.waitid(os.P_PID, orphan, os.WEXITED | os.WNOWAIT)
os.waitid(os.P_PID, ours.pid, os.WEXITED | os.WNOWAIT)
reap_orphans(lambda: (ours.pid, None))
print(os.path.exists(f"/proc/{orphan}"), os.path.exists(f"/proc/{ours.pid}"), ours.wait())
"""


def test_the_first_process_of_a_container_reaps_orphans_and_leaves_envoy_its_exit_code() -> None:
    done = subprocess.run([sys.executable, "-c", _WITH_AN_ORPHAN], check=True, capture_output=True, text=True)
    assert done.stdout == "False True 0\n"
