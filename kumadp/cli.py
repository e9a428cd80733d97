"""`kuma-dp`: commands are imported when they are called, since starting up is a budget (DESIGN.md 3.14)."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any

import click

from kumamesh.errors import EXIT_FAILURE, EXIT_USAGE, UserError

_COMMANDS = {
    "run": ("kumadp.commands.run:run", "Run a proxy: Envoy, configured by the control plane."),
    "version": ("kumadp.commands.version:version", "Print the version."),
    "demo": ("kumadp.demo.cli:demo", "Show two services that talk mTLS, on this machine."),
}
_INTERRUPTED = 130


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in _COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--log-level", type=click.Choice(["off", "info", "debug"]), help="How much to log.")
@click.pass_context
def cli(ctx: click.Context, log_level: str | None) -> None:
    """The data-plane agent of the mesh."""
    ctx.obj = log_level


def main() -> None:
    """Every failure is one line on stderr and an exit code."""
    try:
        result: Any = cli.main(prog_name="kuma-dp", standalone_mode=False)
    except UserError as error:
        _fail(str(error), error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help() if error.ctx else "")
        sys.exit(0)
    except click.ClickException as error:
        _fail(error.format_message(), EXIT_USAGE)
    except (KeyboardInterrupt, click.Abort):
        sys.exit(_INTERRUPTED)
    except Exception as error:
        logging.getLogger("kumadp").debug("internal error", exc_info=True)
        _fail(f"internal error: {type(error).__name__}: {error}; --log-level=debug shows where", EXIT_FAILURE)
    sys.exit(result if isinstance(result, int) else 0)


def _fail(message: str, code: int) -> None:
    click.echo("Error: " + " ".join(message.split()), err=True)
    sys.exit(code)
