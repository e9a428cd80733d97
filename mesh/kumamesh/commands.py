"""What the command lines of the three programs share: lazy commands, and failures as one line."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

import click

from kumamesh.errors import EXIT_FAILURE, EXIT_INTERRUPTED, EXIT_USAGE, UserError
from kumamesh.settings import suggestion

CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}

_WHOLE_SENTENCE = 1_000
_WRITE_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""What only a write can fail with: mostly that of the output, into a file system that is full."""


class _Formatter(click.HelpFormatter):
    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 24, col_spacing: int = 2) -> None:
        # So narrow that the longest variable still fits beside it in 80 columns.
        super().write_dl(rows, col_max, col_spacing)


class _Context(click.Context):
    formatter_class = _Formatter


class Command(click.Command):
    """A command whose help breaks no variable in two."""

    context_class = _Context


class Group(click.Group):
    """Lists every command with a whole sentence, and names the nearest one for one that it does not know."""

    context_class = _Context
    command_class = Command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            hint = suggestion(name, self.list_commands(ctx))
            raise click.UsageError(f'unknown command "{name}" for "{ctx.command_path}"{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text.rstrip(".")) for name, text in self.summaries(ctx)])

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        """Names and help of the commands."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        return [
            (name, command.get_short_help_str(_WHOLE_SENTENCE))
            for name, command in found
            if command is not None and not command.hidden
        ]


class Entry(NamedTuple):
    """Where a command is (`module:attribute`), and its help in the list of commands."""

    place: str
    help: str


class LazyGroup(Group):
    """Imports a command when it is used: starting up is a budget (DESIGN.md 3.14). `entries` by name."""

    entries: ClassVar[Mapping[str, Entry]]

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.entries)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = self.entries.get(cmd_name)
        if entry is None:
            return None
        module, _, attribute = entry.place.partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def summaries(self, ctx: click.Context) -> list[tuple[str, str]]:
        return [(name, entry.help) for name, entry in self.entries.items()]


def run(
    command: click.Command,
    program: str,
    arguments: Sequence[str] | None = None,
    *,
    failure_code: int | None = None,
) -> int:
    """Run a command line; the exit code. A failure is one line on stderr, never a traceback; `failure_code`
    is for programs that end in the same way whatever the failure."""
    try:
        with _lost_output_told():
            return _run(command, program, arguments)
    except UserError as error:
        return _failed(str(error), failure_code or error.exit_code)
    except click.ClickException as error:
        return _failed(" ".join(error.format_message().split()), failure_code or EXIT_USAGE)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough.
        _drop_output()
        return EXIT_FAILURE
    except Exception as error:  # the last resort: a fault of ours, told in one line
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        return _failed(
            f"internal error: {fault}; --log-level=debug shows where", failure_code or EXIT_FAILURE
        )


def _run(command: click.Command, program: str, arguments: Sequence[str] | None) -> int:
    try:
        code = command.main(arguments, prog_name=program, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 0
    if sys.stdout is not None:
        # When the interpreter does it at its end, nobody is left to tell a failure.
        sys.stdout.flush()
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int) -> int:
    click.echo(f"Error: {message}", err=True)
    return code


@contextmanager
def _lost_output_told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in _WRITE_ERRORS:
            raise
        _drop_output()
        raise UserError(f"cannot write: {error.strerror}") from None


def _drop_output() -> None:
    """What is left in the buffer would fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
