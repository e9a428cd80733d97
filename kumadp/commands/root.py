"""`kuma-dp`: commands are imported when they are called, since starting up is a budget (DESIGN.md 3.14)."""

from __future__ import annotations

from typing import ClassVar

import click

from kumamesh import commands
from kumamesh.commands import Entry


class _Commands(commands.LazyGroup):
    entries: ClassVar = {
        "run": Entry("kumadp.commands.run:run", "Run a proxy: Envoy, configured by the control plane."),
        "dns": Entry("kumadp.commands.dns:dns", "Ask the name server of a running proxy."),
        "version": Entry("kumadp.commands.version:version", "Print the version."),
        "demo": Entry("kumadp.demo.cli:demo", "Show two services that talk mTLS, on this machine."),
    }


@click.group(cls=_Commands, context_settings=commands.CONTEXT_SETTINGS)
@click.option("--log-level", type=click.Choice(["off", "info", "debug"]), help="How much to log.")
@click.pass_context
def cli(ctx: click.Context, log_level: str | None) -> None:
    """The data-plane agent of the mesh."""
    ctx.obj = log_level


def run(arguments: list[str]) -> int:
    """The exit code."""
    return commands.run(cli, "kuma-dp", arguments)
