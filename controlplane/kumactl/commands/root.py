"""The command line of kumactl. A command's module is imported when the command is used: `version` must not
wait for the resource models, nor `config` for cryptography."""

from __future__ import annotations

import io
import sys
from typing import ClassVar

import click

from kumactl.session import Group
from kumamesh import commands
from kumamesh.commands import Entry
from kumamesh.errors import EXIT_FAILURE


class _Commands(commands.LazyGroup, Group):
    entries: ClassVar = {
        "apply": Entry("kumactl.commands.apply:command", "Create or modify resources"),
        "completion": Entry("kumactl.commands.completion:command", "Print the completion script of a shell"),
        "config": Entry("kumactl.commands.config:command", "Manage the control planes that kumactl knows"),
        "delete": Entry("kumactl.commands.delete:command", "Delete a resource"),
        "export": Entry("kumactl.commands.export:command", "Print resources that can be applied elsewhere"),
        "generate": Entry("kumactl.commands.generate:command", "Generate tokens, keys and certificates"),
        "get": Entry("kumactl.commands.get:command", "Show resources"),
        "inspect": Entry("kumactl.commands.inspect:command", "Show the state of the mesh"),
        "install": Entry("kumactl.commands.redirect:install", "Install what this host needs"),
        "uninstall": Entry("kumactl.commands.redirect:uninstall", "Remove what was installed on this host"),
        "version": Entry("kumactl.commands.version:command", "Print the version"),
    }


_EXIT_CODES = "Exit codes: 0 when all went well, 1 for every failure, 130 when interrupted."


@click.group(name="kumactl", cls=_Commands, context_settings=commands.CONTEXT_SETTINGS, epilog=_EXIT_CODES)
def cli() -> None:
    """Management tool for the service mesh."""


def run(arguments: list[str]) -> int:
    """The exit code; every failure of kumactl is 1, as in Kuma."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names may have letters that the character set of the terminal lacks.
        sys.stdout.reconfigure(errors="backslashreplace")
    return commands.run(cli, "kumactl", arguments, failure_code=EXIT_FAILURE)
