"""`kumactl completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kumactl.session import Command

SHELLS = ("bash", "zsh", "fish")


@click.command(name="completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell, to be evaluated by it: `eval "$(kumactl completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(ctx.find_root().command, {}, "kumactl", "_KUMACTL_COMPLETE").source())
