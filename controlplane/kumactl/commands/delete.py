"""`kumactl delete`."""

from __future__ import annotations

import click

from kumactl.failure import Refused
from kumactl.resource_paths import deletable_types, find_type, item_path, missing
from kumactl.session import Session, TypeCommand, with_session
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey


@click.command(name="delete", cls=TypeCommand, types=deletable_types())
@click.argument("type_", metavar="TYPE")
@click.argument("name")
@with_session
def command(session: Session, type_: str, name: str) -> None:
    """Delete a resource."""
    found = find_type(type_)
    key = ResourceKey(found.name, session.mesh if found.mesh_scoped else "", name)
    try:
        session.client.delete(item_path(key))
    except Refused as error:
        if error.status != 404:
            raise
        raise UserError(missing(key)) from None
    click.echo(f'deleted {key.type} "{name}"')
