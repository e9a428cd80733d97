"""What the command lines of the three programs share: lazy commands, and failures as one line."""

from __future__ import annotations

import importlib
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import click

from kumamesh.errors import EXIT_FAILURE, EXIT_USAGE, UserError

EXIT_INTERRUPTED = 130
CONTEXT_SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 110}


class Entry(NamedTuple):
    """Where a command is (`module:attribute`), and its help in the list of commands."""

    place: str
    help: str


class LazyGroup(click.Group):
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

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in self.entries.items()])


def run(
    command: click.Command,
    program: str,
    arguments: Sequence[str] | None = None,
    *,
    usage_code: int = EXIT_USAGE,
) -> int:
    """Run a command line; the exit code. A failure is one line on stderr, never a traceback."""
    try:
        code = command.main(arguments, prog_name=program, standalone_mode=False)
    except UserError as error:
        return _failed(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _failed(error.format_message(), usage_code)
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; keep the interpreter from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    except Exception as error:  # the last resort: a fault of ours, told in one line
        logging.getLogger(__name__).debug("internal error", exc_info=True)
        fault = " ".join(f"{type(error).__name__}: {error}".split())
        return _failed(f"internal error: {fault}; --log-level=debug shows where", EXIT_FAILURE)
    return code if isinstance(code, int) else 0


def _failed(message: str, code: int) -> int:
    click.echo(f"Error: {message}", err=True)
    return code
