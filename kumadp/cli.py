"""`kuma-dp`: commands are imported when they are called, since starting up is a budget (DESIGN.md 3.14)."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from typing import Any, ClassVar, NoReturn

import click

from kumamesh import commands
from kumamesh.commands import Entry


class _Commands(commands.LazyGroup):
    entries: ClassVar = {
        "run": Entry("kumadp.commands.run:run", "Run a proxy: Envoy, configured by the control plane."),
        "version": Entry("kumadp.commands.version:version", "Print the version."),
        "demo": Entry("kumadp.demo.cli:demo", "Show two services that talk mTLS, on this machine."),
    }


@click.group(cls=_Commands, context_settings=commands.CONTEXT_SETTINGS)
@click.option("--log-level", type=click.Choice(["off", "info", "debug"]), help="How much to log.")
@click.pass_context
def cli(ctx: click.Context, log_level: str | None) -> None:
    """The data-plane agent of the mesh."""
    ctx.obj = log_level


def main() -> None:
    signal.signal(signal.SIGTERM, _stop_early)
    _open_standard_streams()
    sys.exit(commands.run(cli, "kuma-dp"))


def _open_standard_streams() -> None:
    """Where the caller closed one, the next socket would take its place, and Envoy's log lines with it."""
    for number in (0, 1, 2):
        with contextlib.suppress(OSError):
            os.fstat(number)
            continue
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _stop_early(*_: Any) -> NoReturn:
    """Until the command handles signals itself: a container's first process gets none that it has no handler
    for, and would go on where it was told to stop."""
    raise SystemExit(0)
