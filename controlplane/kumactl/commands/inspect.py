"""`kumactl inspect`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from kumactl.inspection import dataplanes_table, meshes_table, services_table
from kumactl.output import output_option, show
from kumactl.session import Group, Session, with_session
from kumactl.urls import Query, path_of
from kumamesh.errors import UserError


@click.group(name="inspect", cls=Group)
def command() -> None:
    """Show the state of the mesh."""


@command.command(short_help="Show data plane proxies: streams, updates, certificates")
@click.option("--tag", "tags", multiple=True, help="Only those with the tag key=value; may be repeated")
@click.option("--gateway", is_flag=True, help="Only gateways")
@output_option
@with_session
def dataplanes(session: Session, tags: tuple[str, ...], gateway: bool, output: str) -> None:
    """Show data plane proxies with the state of their streams and certificates."""
    query = [("tag", _tag(tag)) for tag in tags]
    if gateway:
        query.append(("gateway", "true"))
    path = path_of("meshes", session.mesh, "dataplanes", "_overview")
    _show_all(session, path, query, output, lambda items: dataplanes_table(items, datetime.now(UTC)))


@command.command(short_help="Show services and how many of their proxies are online")
@output_option
@with_session
def services(session: Session, output: str) -> None:
    """Show the services of the mesh and how many of their data plane proxies are online."""
    _show_all(session, path_of("meshes", session.mesh, "service-insights"), (), output, services_table)


@command.command()
@output_option
@with_session
def meshes(session: Session, output: str) -> None:
    """Show what is in each mesh."""
    _show_all(session, path_of("mesh-insights"), (), output, meshes_table)


def _show_all(
    session: Session, path: str, query: Query, output: str, table: Callable[[list[dict[str, Any]]], str]
) -> None:
    items = session.client.get_all(path, query)
    show({"total": len(items), "items": items, "next": None}, output, lambda: table(items))


def _tag(text: str) -> str:
    key, equals, value = text.partition("=")
    if not (key and equals and value):
        raise UserError(f"the tag {text!r} must have the form key=value")
    return f"{key}:{value}"
