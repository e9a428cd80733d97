"""The help of declared options."""

from __future__ import annotations

from dataclasses import dataclass

import click
import pytest

from kumamesh import commands
from kumamesh.errors import EXIT_USAGE
from kumamesh.options import add_flags
from kumamesh.settings import Seconds, option

LONGEST = "KUMA_DATAPLANE_RUNTIME_ENVOY_COMPONENT_LOG_LEVEL"


@dataclass(frozen=True)
class Settings:
    level: str = option("info", flag="level", choices=("off", "info"), env="KUMA_LEVEL", help="How much")
    wait: Seconds = option(Seconds(30.0), flag="wait", help="How long")
    components: str = option("", flag="envoy-component-log-level", env=LONGEST, help="How much of what, so")
    token: str = option("hidden", flag="token", secret=True, help="A secret")


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    monkeypatch.setenv("COLUMNS", "80")

    @click.command(cls=commands.Command)
    @add_flags(Settings)
    def command(**_: object) -> None:
        raise AssertionError

    assert commands.run(command, "x", ["--help"]) == 0
    return capsys.readouterr().out


def test_choices_are_listed(text: str) -> None:
    assert "--level [off|info]" in text


def test_default_and_variable_follow_the_help(text: str) -> None:
    assert "How much (default info) [KUMA_LEVEL]\n" in text
    assert "--wait DURATION" in text
    assert "How long (default 30s)\n" in text


def test_the_longest_variable_is_not_broken(text: str) -> None:
    assert f"[{LONGEST}]" in text


def test_the_default_of_a_secret_is_not_shown(text: str) -> None:
    assert "hidden" not in text


def test_a_wrong_part_of_a_list_is_told_with_its_flag(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclass(frozen=True)
    class Lists:
        ports: tuple[int, ...] = option((), flag="ports", help="Which")

    @click.command(cls=commands.Command)
    @add_flags(Lists)
    def command(**_: object) -> None:
        raise AssertionError

    assert commands.run(command, "x", ["--ports", "1,2", "--ports", "3,ssh"]) == EXIT_USAGE
    assert capsys.readouterr().err == "Error: Invalid value for '--ports': 'ssh' is not a whole number\n"
