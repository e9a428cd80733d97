"""The commands of docs/multizone.md, as they stand, on three machines that share nothing but a switch."""

from __future__ import annotations

import os
import re
import signal
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from guide import Step, steps
from lab import Program, http
from redirected_network import Host, missing, network

PAGE = Path(__file__).resolve().parents[2] / "docs" / "multizone.md"
LACKING = missing("curl")
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

SCP = """#!/bin/sh
# scp of the test: machines have their homes beside each other.
exec cp "{homes}/${{1%%:*}}/${{1#*:}}" "$2"
"""


class Machines:
    """Runs the steps of a page; each machine has a home of its own, and `scp` copies between them."""

    def __init__(self, hosts: dict[str, Host], folder: Path) -> None:
        self._hosts = hosts
        self._folder = folder
        self._programs: list[Program] = []
        programs = folder / "bin"
        programs.mkdir()
        scp = programs / "scp"
        scp.write_text(SCP.format(homes=folder))
        scp.chmod(scp.stat().st_mode | stat.S_IXUSR)
        self._path = f"{programs}:{Path(sys.executable).parent}:{os.environ['PATH']}"
        for name in hosts:
            self.home(name).mkdir()

    def home(self, machine: str) -> Path:
        return self._folder / machine

    def run(self, step: Step) -> str:
        """What a step prints; of one that stays, nothing, and it is started when this returns."""
        host, home = self._hosts[step.machine], self.home(step.machine)
        environ = {"HOME": str(home), "PATH": self._path, "PYTHONUNBUFFERED": "1"}
        argv = ["bash", "-e", "-c", f"cd\n{step.script}"]
        with host.inside():
            program = Program(f"line-{step.line}", argv, self._folder, environ)
            self._programs.append(program)
            if step.stays:
                program.wait_until(lambda: _READY.search(program.log), f"start of line {step.line}", 60)
                return ""
            assert program.process.wait(120) == 0, f"line {step.line}:\n{program.log}"
        return program.log

    def ask(self, machine: str, path: str) -> bytes:
        with self._hosts[machine].inside():
            return http("GET", f"http://127.0.0.1:5681{path}")[1]

    def stop(self) -> None:
        for program in reversed(self._programs):
            if program.running:
                os.killpg(program.process.pid, signal.SIGTERM)
        for program in reversed(self._programs):
            program.process.wait(60)


_READY = re.compile(r"kuma-cp is ready|ready \d+\.\d+ s after Envoy's start|Serving HTTP on")
"""What a program of the page says when the next step may be taken."""


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with network("global", "zone-1", "zone-2") as hosts:
        found = Machines(hosts, tmp_path)
        try:
            yield found
        finally:
            found.stop()


@pytest.mark.promise("C14", part="whole")
@pytest.mark.promise("C15", part="whole")
def test_the_guide_leads_to_calls_between_zones(machines: Machines) -> None:
    printed: list[str] = []
    for step in steps(PAGE):
        printed.append(machines.run(step))
    everything = "\n".join(printed)
    assert everything.count("<h1>Directory listing") == 2, (
        everything
    )  # the page's web server, seen from zone-1
    assert re.search(r"zone-1 +Online", everything)
    assert re.search(r"zone-2 +Online", everything)
    assert re.search(r"zone-2 +Offline", everything)
    assert re.search(r"zoneegress-01 +Online", everything)
    assert re.search(r"echo-server_echo-example_svc_1010 +Online +1/1", everything)
