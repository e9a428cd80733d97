"""`kuma-dp version`."""

from __future__ import annotations

import click

from kumamesh import version as build


@click.command()
@click.option("--detailed", "-a", is_flag=True, help="Print all that is known of this build.")
def version(detailed: bool) -> None:
    """Print the version."""
    click.echo(build.detailed() if detailed else build.short())
