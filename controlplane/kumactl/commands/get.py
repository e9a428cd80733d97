"""`kumactl get`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import click

from kumactl.failure import Refused
from kumactl.output import output_option, show
from kumactl.resource_paths import collection_path, find_type, item_path, known_types, missing
from kumactl.resource_tables import resource_table
from kumactl.session import Session, TypeCommand, with_session
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import ResourceType


@click.command(name="get", cls=TypeCommand, types=known_types())
@click.argument("type_", metavar="TYPE")
@click.argument("name", required=False)
@click.option("--size", type=click.IntRange(1), help="Maximum number of resources (default 100)")
@click.option("--offset", help="Where to go on, as the last output said")
@output_option
@with_session
def command(
    session: Session, *, type_: str, name: str | None, size: int | None, offset: str | None, output: str
) -> None:
    """Show all resources of a type, or one of them."""
    found = find_type(type_)
    if name is None:
        window = (("size", size), ("offset", offset))
        query = [(key, str(value)) for key, value in window if value is not None]
        path = collection_path(found, session.mesh if found.mesh_scoped else "")
        document = session.client.get(path, query)
        items = document["items"]
    else:
        document = _one(session, found, name)
        items = [document]

    def table() -> str:
        return resource_table(found, items, document.get("next") if name is None else None, datetime.now(UTC))

    show(document, output, table)


def _one(session: Session, type_: ResourceType, name: str) -> Any:
    key = ResourceKey(type_.name, session.mesh if type_.mesh_scoped else "", name)
    try:
        return session.client.get(item_path(key))
    except Refused as error:
        if error.status != 404:
            raise
        raise UserError(missing(key)) from None
