"""`kumactl version`."""

from __future__ import annotations

import click

from kumactl.answer import plain, text
from kumactl.session import Command, Session, with_session
from kumamesh import version as build
from kumamesh.errors import UserError

SERVER_TIMEOUT_S = 2.0
"""The version of kumactl is known at once; nobody should wait long for that of an absent server."""


@click.command(name="version", cls=Command)
@click.option("--detailed", "-a", is_flag=True, help="Print the build too")
@with_session
def command(session: Session, detailed: bool) -> None:
    """Print the versions of kumactl and of the active control plane."""
    if detailed:
        click.echo(f"Client:\n{build.detailed()}")
    else:
        click.echo(f"Client: {build.PRODUCT} {build.BUILD.version}")
    try:
        index = session.client_of(session.configuration, SERVER_TIMEOUT_S).index()
    except UserError as error:
        click.echo(f"Server: {error}", err=True)
        return
    if detailed:
        names = {"product": "Product", "version": "Version", "hostname": "Hostname"}
        names |= {"instanceId": "Instance", "clusterId": "Cluster"}
        lines = [f"{name + ':':<11} {plain(text(index, key)) or 'unknown'}" for key, name in names.items()]
        click.echo("\n".join(["Server:", *lines]))
    else:
        product, version = plain(text(index, "product")), plain(text(index, "version"))
        click.echo(f"Server: {product or build.PRODUCT} {version or 'unknown'}")
