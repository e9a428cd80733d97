"""A fake control plane, and agents that are gone when the test is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent_runs import Agents, agents
from fake_cp import FakeControlPlane, token


@pytest.fixture
def fake_plane(tmp_path: Path) -> Iterator[FakeControlPlane]:
    with FakeControlPlane(tmp_path / "cp").in_background() as running:
        yield running


@pytest.fixture
def kuma_dp(tmp_path: Path, fake_plane: FakeControlPlane) -> Iterator[Agents]:
    with agents(tmp_path, fake_plane) as started:
        yield started


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(token() + "\n")
    return path
