"""Every end of a command line is an exit code and at most one line."""

from __future__ import annotations

import click
import pytest

from kumamesh import commands
from kumamesh.errors import UserError


def _command(error: BaseException | None = None, result: object = None) -> click.Command:
    def body() -> object:
        if error is not None:
            raise error
        return result

    return click.Command("x", callback=body)


@pytest.mark.parametrize(
    ("command", "code", "line"),
    [
        (_command(), 0, ""),
        (_command(result=7), 7, ""),
        (_command(UserError("the port is taken", exit_code=3)), 3, "Error: the port is taken\n"),
        (_command(click.UsageError("no such thing")), 2, "Error: no such thing\n"),
        (_command(KeyboardInterrupt()), 130, ""),
        (
            _command(ValueError("a\nb")),
            1,
            "Error: internal error: ValueError: a b; --log-level=debug shows where\n",
        ),
    ],
)
def test_ends(command: click.Command, code: int, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(command, "x", []) == code
    assert capsys.readouterr().err.strip("\n") == line.strip("\n")


def test_usage_errors_may_have_another_code() -> None:
    assert commands.run(_command(), "x", ["--unknown"], usage_code=1) == 1


class _Group(commands.LazyGroup):
    entries = {"version": commands.Entry("kumactl.commands.version:command", "Print the version")}  # noqa: RUF012


def test_a_group_lists_its_commands_without_importing_them(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(commands.LazyGroup):
        entries = {"never": commands.Entry("no.such.module:command", "Help of never")}  # noqa: RUF012

    assert commands.run(Broken("x"), "x", []) == 0
    assert "Help of never" in capsys.readouterr().out


def test_a_group_imports_the_command_that_is_used() -> None:
    group = _Group("x")
    command = group.get_command(click.Context(group), "version")
    assert command is not None
    assert command.name == "version"
    assert group.get_command(click.Context(group), "other") is None
