"""Entry point of kumactl. A command's module is imported when the command is used: `version` must not wait
for the resource models, nor `config` for cryptography."""

from __future__ import annotations

import importlib
import os
import sys
from typing import NamedTuple

import click

from kumactl.session import Group
from kumamesh.errors import EXIT_FAILURE, UserError

EXIT_INTERRUPTED = 130


class _Entry(NamedTuple):
    module: str
    help: str


COMMANDS = {
    "apply": _Entry("kumactl.commands.apply", "Create or modify resources"),
    "completion": _Entry("kumactl.commands.completion", "Print the completion script of a shell"),
    "config": _Entry("kumactl.commands.config", "Manage the control planes that kumactl knows"),
    "delete": _Entry("kumactl.commands.delete", "Delete a resource"),
    "generate": _Entry("kumactl.commands.generate", "Generate tokens and keys"),
    "get": _Entry("kumactl.commands.get", "Show resources"),
    "inspect": _Entry("kumactl.commands.inspect", "Show the state of the mesh"),
    "version": _Entry("kumactl.commands.version", "Print the version"),
}


class LazyGroup(Group):
    """Knows its commands by name and imports one when it is used. The module's object `command` is the
    command."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        command = importlib.import_module(entry.module).command
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.help) for name, entry in COMMANDS.items()])


@click.group(
    name="kumactl",
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
def root() -> None:
    """Management tool for the service mesh."""


def main() -> None:
    """Run; every failure is one line on stderr and a non-zero exit code."""
    sys.exit(run(sys.argv[1:]))


def run(args: list[str]) -> int:
    try:
        code = root.main(args, prog_name="kumactl", standalone_mode=False)
    except UserError as error:
        return _fail(str(error))
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 0
    except click.ClickException as error:
        return _fail(error.format_message())
    except (click.Abort, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; keep the interpreter from flushing into the pipe again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILURE
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    click.echo(f"Error: {message}", err=True)
    return EXIT_FAILURE


if __name__ == "__main__":
    main()
