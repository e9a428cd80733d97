"""Starting `kuma-dp run` in tests, and what is seen of it from outside."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from fake_cp import FakeControlPlane
from lab import Program, eventually, free_port

FAKE_ENVOY = Path(__file__).with_name("fake_envoy.py")


class Agents:
    """Starts agents with nothing of this user's or machine's configuration."""

    def __init__(self, folder: Path, plane: FakeControlPlane) -> None:
        self.folder, self.plane = folder, plane
        # Short: below a folder of pytest there may be no room for the names of sockets.
        self.tmp = Path(tempfile.mkdtemp(prefix="kd-"))
        self.programs: list[Program] = []

    def run(self, *arguments: str, name: str = "agent", **environ: str) -> Program:
        """With these arguments alone."""
        settled = {"HOME": str(self.folder), "TMPDIR": str(self.tmp), **environ}
        argv = [sys.executable, "-m", "kumadp", "run", *arguments]
        program = Program(f"{name}-{len(self.programs)}", argv, self.folder, settled)
        self.programs.append(program)
        return program

    def start(self, *arguments: str, name: str = "web-1", **environ: str) -> Program:
        """For a Dataplane of this name at the fake control plane."""
        return self.run(
            f"--cp-address={self.plane.url}",
            f"--ca-cert-file={self.plane.ca_path}",
            f"--dataplane-file={self.resource(name)}",
            *arguments,
            name=name,
            **environ,
        )

    def resource(self, name: str = "web-1", **networking: Any) -> Path:
        """A file with a Dataplane."""
        inbound = {"port": free_port(), "servicePort": 80, "tags": {"kuma.io/service": "web"}}
        path = self.folder / f"{name}.yaml"
        document = {
            "type": "Dataplane",
            "mesh": "default",
            "name": name,
            "networking": {"address": "127.0.0.1", "inbound": [inbound], **networking},
        }
        path.write_text(json.dumps(document))
        return path

    @property
    def temporary_dirs(self) -> list[Path]:
        return sorted(self.tmp.glob("kuma-dp-*"))

    def until_supervised(self, agent: Program) -> None:
        """Until the agent looks after its Envoy, or is gone. A stop before that just ends both."""
        folders = (self.tmp, self.folder)
        eventually(
            lambda: (
                not agent.running
                or any(path for folder in folders for path in folder.glob("*/kuma-readiness-reporter.sock"))
            ),
            "an agent at work",
        )

    def close(self) -> None:
        for program in self.programs:
            if program.running:
                program.process.send_signal(signal.SIGKILL)
            program.process.wait()
        shutil.rmtree(self.tmp, ignore_errors=True)


@contextlib.contextmanager
def agents(folder: Path, plane: FakeControlPlane) -> Iterator[Agents]:
    started = Agents(folder, plane)
    try:
        yield started
    finally:
        started.close()


def envoy_of(agent: Program) -> psutil.Process:
    """The agent's child that serves traffic."""
    (envoy,) = (child for child in _children(agent) if "--config-path" in child.cmdline())
    return envoy


def name_server_of(agent: Program) -> psutil.Process:
    """The agent's child that answers names."""
    (worker,) = (child for child in _children(agent) if any("kumadp_dns" in word for word in child.cmdline()))
    return worker


def _children(agent: Program) -> list[psutil.Process]:
    return psutil.Process(agent.process.pid).children()


def ask_ready(address: int | Path, target: str = "/ready") -> tuple[int, str, dict[str, str]]:
    """(status, text, headers) from a port or a Unix socket; status 0 when nobody answers."""
    family = socket.AF_INET if isinstance(address, int) else socket.AF_UNIX
    with socket.socket(family) as sock:
        try:
            sock.connect(("127.0.0.1", address) if isinstance(address, int) else str(address))
        except OSError:
            return 0, "", {}
        sock.sendall(f"GET {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n".encode())
        head, _, body = sock.makefile("rb").read().partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(first.split()[1]), body.decode(), headers
