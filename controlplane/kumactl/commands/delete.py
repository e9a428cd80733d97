"""`kumactl delete`."""

from __future__ import annotations

import click

from kumactl.commands.type_argument import TypeCommand, type_argument
from kumactl.lookup_client import told_when_missing
from kumactl.resource_paths import deletable_types, find_type, item_path
from kumactl.session import Session, with_session
from kumamesh.resource import ResourceKey


@click.command(name="delete", cls=TypeCommand, types=deletable_types())
@type_argument(deletable_types())
@click.argument("name")
@with_session
def command(session: Session, type_: str, name: str) -> None:
    """Delete a resource."""
    found = find_type(type_, deletable_types())
    key = ResourceKey(found.name, session.mesh if found.mesh_scoped else "", name)
    with told_when_missing(session.client, key):
        session.client.delete(item_path(key))
    click.echo(f'deleted {key.type} "{name}"')
