"""Options declared once: sources, precedence, and the errors a person sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from kumamesh.errors import UserError
from kumamesh.options import add_flags
from kumamesh.settings import Origin, Seconds, dump, option, resolve


@dataclass(frozen=True, slots=True)
class Settings:
    port: int = option(1, flag="port", env="KUMA_PORT", key="server.port", help="Port")
    delay: Seconds = option(Seconds(30.0), env="KUMA_DELAY", key="server.delay", help="Delay")
    verify: bool = option(True, flag="verify", env="KUMA_VERIFY", key="server.verify", help="Verify")
    path: Path | None = option(None, flag="path", short="p", env="KUMA_PATH", key="path", help="Path")
    names: tuple[str, ...] = option((), flag="name", env="KUMA_NAMES", key="names", help="Names")
    mode: str = option(
        "a", env="KUMA_MODE", key="mode", choices=("a", "b"), help="Mode", aliases=("KUMA_OLD",)
    )
    token: str = option("", env="KUMA_TOKEN", key="token", secret=True, help="Token")


FILE = {"server": {"port": 4}}
ENVIRON = {"KUMA_PORT": "3"}


@pytest.mark.parametrize(
    ("flags", "environ", "document", "port", "origin"),
    [
        ({"port": 2}, ENVIRON, FILE, 2, Origin.FLAG),
        ({"port": None}, ENVIRON, FILE, 3, Origin.ENVIRONMENT),
        ({}, {"KUMA_PORT": ""}, FILE, 4, Origin.FILE),
        ({}, {}, FILE, 4, Origin.FILE),
        ({}, {}, {}, 1, Origin.DEFAULT),
    ],
)
def test_flag_wins_over_environment_over_file_over_default(
    flags: dict[str, Any], environ: dict[str, str], document: dict[str, Any], port: int, origin: Origin
) -> None:
    resolved = resolve(Settings, flags=flags, environ=environ, document=document)
    assert resolved.settings.port == port
    assert resolved.origins["port"] is origin


def test_every_type_is_read_from_variables_and_files() -> None:
    environ = {"KUMA_DELAY": "1m30s", "KUMA_VERIFY": "FALSE", "KUMA_PATH": "/x", "KUMA_NAMES": "a, b"}
    from_environ = resolve(Settings, environ=environ).settings
    document = {"server": {"delay": "1m30s", "verify": False}, "path": "/x", "names": ["a", "b"]}
    from_file = resolve(Settings, document=document).settings
    assert from_environ == from_file
    assert (from_file.delay, from_file.verify, from_file.path) == (90.0, False, Path("/x"))
    assert from_file.names == ("a", "b")


@pytest.mark.parametrize(
    ("environ", "document", "message"),
    [
        ({"KUMA_PORT": "x"}, {}, "the variable KUMA_PORT is wrong: 'x' is not a whole number"),
        ({"KUMA_DELAY": "5"}, {}, "KUMA_DELAY is wrong: '5' is not a duration; write a number and a unit"),
        ({"KUMA_VERIFY": "perhaps"}, {}, "neither true nor false"),
        ({"KUMA_MODE": "c"}, {}, "'c' is not one of a, b"),
        ({}, {"server": {"prot": 1}}, r"unknown key server.prot; did you mean server.port\?"),
        ({}, {"server": 3}, "unknown key server"),
        ({}, {"server": {"port": [1]}}, "must be a single value"),
        ({}, {"server": {"port": None}}, "must be a single value"),
    ],
)
def test_what_is_wrong_is_named(environ: dict[str, str], document: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        resolve(Settings, environ=environ, document=document)
    assert caught.value.exit_code == 2


def test_old_and_misspelt_variables_are_told() -> None:
    resolved = resolve(Settings, environ={"KUMA_OLD": "b", "KUMA_DELYA": "1s", "KUMA_SOMETHING_ELSE": "1"})
    assert resolved.settings.mode == "b"
    assert resolved.warnings == (
        "the variable KUMA_OLD is an old name; use KUMA_MODE",
        "the variable KUMA_DELYA is not known and is ignored; did you mean KUMA_DELAY?",
    )


def test_a_dump_has_the_shape_of_the_file_and_no_secret() -> None:
    document = dump(resolve(Settings, environ={"KUMA_TOKEN": "very-secret"}).settings)
    assert document["server"] == {"port": 1, "delay": "30s", "verify": True}
    assert document["token"] == "*****"
    assert resolve(Settings, document={"server": document["server"]}).settings == Settings()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], {"port": None, "verify": None, "path": None, "names": None}),
        (["--port=7", "-p", "/y"], {"port": 7, "path": Path("/y")}),
        (["--verify"], {"verify": True}),
        (["--verify=false"], {"verify": False}),
        (["--name=a,b", "--name", "c"], {"names": ("a", "b", "c")}),
    ],
)
def test_flags_are_parsed_as_gos_flags_are(arguments: list[str], expected: dict[str, Any]) -> None:
    seen: dict[str, Any] = {}

    @click.command()
    @add_flags(Settings)
    def command(**flags: Any) -> None:
        seen.update(flags)

    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0, result.output
    assert {key: seen[key] for key in expected} == expected


def test_a_wrong_flag_is_named_with_the_reason() -> None:
    @click.command()
    @add_flags(Settings)
    def command(**flags: Any) -> None:
        raise AssertionError

    result = CliRunner().invoke(command, ["--port=x"])
    assert result.exit_code == 2
    assert "'x' is not a whole number" in result.output
    assert "(default 1) [KUMA_PORT]" in CliRunner().invoke(command, ["--help"]).output
