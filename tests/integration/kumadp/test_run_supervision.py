"""`kuma-dp run` around a recording stand-in for Envoy: command line, environment, signals, exit codes."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import FAKE_ENVOY, StartAgent  # type: ignore[import-not-found]
from fake_cp import FakeControlPlane, token
from lab import Program, eventually


class Recorder:
    def __init__(self, path: Path, start: StartAgent, plane: FakeControlPlane, resource: Path) -> None:
        self.path, self._start = path, start
        self._arguments = [
            f"--cp-address={plane.url}",
            f"--ca-cert-file={plane.ca_path}",
            f"--dataplane-file={resource}",
            f"--binary-path={FAKE_ENVOY}",
        ]

    def start(self, *arguments: str, **environ: str) -> Program:
        environ = {"FAKE_ENVOY_LOG": str(self.path), **environ}
        return self._start(*self._arguments, *arguments, environ=environ)

    @property
    def entries(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []

    def started(self, agent: Program) -> dict[str, Any]:
        return agent.wait_until(lambda: self.entries and self.entries[0], "Envoy's start")  # type: ignore[no-any-return]


@pytest.fixture
def recorder(
    tmp_path: Path, start_agent: StartAgent, plane: FakeControlPlane, resource: Callable[..., Path]
) -> Recorder:
    return Recorder(tmp_path / "envoy.log", start_agent, plane, resource())


async def in_thread(work: Callable[..., Any], *arguments: Any) -> Any:
    """The fake control plane lives in this loop, so waiting happens beside it."""
    import asyncio

    return await asyncio.to_thread(work, *arguments)
