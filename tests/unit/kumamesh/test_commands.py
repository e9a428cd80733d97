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


@pytest.mark.parametrize(
    ("error", "arguments"),
    [(None, ["--unknown"]), (UserError("no", exit_code=2), []), (ValueError("fault"), [])],
)
def test_all_failures_may_have_one_code(error: Exception | None, arguments: list[str]) -> None:
    assert commands.run(_command(error), "x", arguments, failure_code=7) == 7


class _Group(commands.LazyGroup):
    entries = {"version": commands.Entry("kumactl.commands.version:command", "Print the version")}  # noqa: RUF012


def test_a_group_lists_its_commands_without_importing_them(capsys: pytest.CaptureFixture[str]) -> None:
    class Broken(commands.LazyGroup):
        entries = {"never": commands.Entry("no.such.module:command", "Help of never")}  # noqa: RUF012

    assert commands.run(Broken("x"), "x", []) == 0
    assert "Help of never" in capsys.readouterr().out


_SUM = click.Command("sum", help=f"Add {'numbers and ' * 8}numbers. Then more.")


@pytest.mark.parametrize("group", [_Group("x"), commands.Group("x", commands={"version": _SUM})])
@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("verson", 'Error: unknown command "verson" for "x"; did you mean version?\n'),
        ("other", 'Error: unknown command "other" for "x"\n'),
    ],
)
def test_an_unknown_command_names_the_nearest(
    group: click.Group, name: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert commands.run(group, "x", [name]) == 2
    assert capsys.readouterr().err == line


def test_a_group_lists_whole_sentences(capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.run(commands.Group("x", commands={"sum": _SUM}), "x", []) == 0
    listed = " ".join(capsys.readouterr().out.partition("Commands:")[2].split())
    assert listed == f"sum Add {'numbers and ' * 8}numbers"


def test_a_group_imports_the_command_that_is_used() -> None:
    group = _Group("x")
    command = group.get_command(click.Context(group), "version")
    assert command is not None
    assert command.name == "version"
    assert group.get_command(click.Context(group), "other") is None
