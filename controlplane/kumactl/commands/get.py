"""`kumactl get`."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime
from typing import Any

import click

from kumactl.client import next_offset
from kumactl.commands.type_argument import TypeCommand, type_argument
from kumactl.lookup_client import asked_of, told_when_mesh_missing
from kumactl.output import output_option, show
from kumactl.resource_paths import collection_path, find_type, known_types
from kumactl.resource_tables import resource_table
from kumactl.session import Session, with_session
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import ResourceType


@click.command(name="get", cls=TypeCommand, types=known_types())
@type_argument(known_types())
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
    if name is not None:
        document = _one(session, found, name)
        show(document, output, lambda: resource_table(found, [document], "", datetime.now(UTC)))
        return
    window = (("size", size), ("offset", offset))
    query = [(key, str(value)) for key, value in window if value is not None]
    with told_when_mesh_missing(session.client, session.mesh) if found.mesh_scoped else nullcontext():
        page = session.client.get_page(collection_path(found, session.mesh), query)
    show(page, output, lambda: resource_table(found, page["items"], next_offset(page), datetime.now(UTC)))


def _one(session: Session, type_: ResourceType, name: str) -> dict[str, Any]:
    key = ResourceKey(type_.name, session.mesh if type_.mesh_scoped else "", name)
    return asked_of(session.client, key, session.client.get)
