"""`kumactl inspect`: lists of what there is in a mesh, and how it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import click

from kumactl.commands import inspect_policy, inspect_proxy
from kumactl.inspection import dataplanes_table, zone_proxies_table, zones_table
from kumactl.lookup_client import told_when_mesh_missing
from kumactl.mesh_inspection import meshes_table, services_table
from kumactl.output import output_option, show
from kumactl.session import Group, Session, with_session
from kumactl.table import Table
from kumactl.urls import Query, path_of
from kumamesh.errors import UserError
from kumamesh.resources.registry import TYPES


@click.group(name="inspect", cls=Group)
def command() -> None:
    """Show the state of the mesh."""


@command.command(short_help="Show data plane proxies: streams, updates, certificates")
@click.option("--tag", "tags", multiple=True, help="Only those with the tag key=value; may be repeated")
@click.option("--gateway", is_flag=True, help="Only gateways")
@click.option("--ingress", is_flag=True, hidden=True, help="Only ingresses")
@output_option
@with_session
def dataplanes(session: Session, tags: tuple[str, ...], gateway: bool, ingress: bool, output: str) -> None:
    """Show data plane proxies with the state of their streams and certificates."""
    query = [("tag", tag) for tag in _tags(tags)]
    query += [(name, "true") for name, given in (("gateway", gateway), ("ingress", ingress)) if given]
    path = path_of("meshes", session.mesh, "dataplanes", "_overview")
    with told_when_mesh_missing(session.client, session.mesh):
        _show_all(session, path, query, output, lambda items: dataplanes_table(items, datetime.now(UTC)))


@command.command(short_help="Show services and how many of their proxies are online")
@output_option
@with_session
def services(session: Session, output: str) -> None:
    """Show the services of the mesh and how many of their data plane proxies are online."""
    path = path_of("meshes", session.mesh, "service-insights")
    with told_when_mesh_missing(session.client, session.mesh):
        _show_all(session, path, (), output, services_table)


@command.command()
@output_option
@with_session
def meshes(session: Session, output: str) -> None:
    """Show what is in each mesh."""
    _show_all(session, path_of("mesh-insights"), (), output, meshes_table)


@command.command(short_help="Show zones: whether their control planes are connected")
@output_option
@with_session
def zones(session: Session, output: str) -> None:
    """Show zones with the state of the streams of their control planes."""
    path = path_of("zones", "_overview")
    _show_all(session, path, (), output, lambda items: zones_table(items, datetime.now(UTC)))


def _zone_proxies(name: str, path: str, kind: str, insight: str, *, hidden: bool = False) -> None:
    text = f"Show zone {kind} with the state of their streams."

    @command.command(name=name, hidden=hidden, help=text, short_help=f"Show zone {kind}: streams, updates")
    @output_option
    @with_session
    def _(session: Session, output: str) -> None:
        def table(items: list[dict[str, Any]]) -> Table:
            return zone_proxies_table(items, insight, datetime.now(UTC))

        _show_all(session, path_of(path, "_overview"), (), output, table)


_zone_proxies("zoneingresses", "zoneingresses", "ingresses", "zoneIngressInsight")
_zone_proxies("zone-ingresses", "zoneingresses", "ingresses", "zoneIngressInsight", hidden=True)
_zone_proxies("zoneegresses", "zoneegresses", "egresses", "zoneEgressInsight")
_zone_proxies("zone-egresses", "zoneegresses", "egresses", "zoneEgressInsight", hidden=True)
for _proxy in inspect_proxy.COMMANDS:
    command.add_command(_proxy)
for _policy in (type_ for type_ in TYPES.values() if type_.policy):
    command.add_command(inspect_policy.command_for(_policy))


def _show_all(
    session: Session, path: str, query: Query, output: str, table: Callable[[list[dict[str, Any]]], Table]
) -> None:
    items = session.client.get_all(path, query)
    show({"total": len(items), "items": items, "next": None}, output, lambda: table(items))


def _tags(texts: tuple[str, ...]) -> list[str]:
    """Tags as the REST API has them, `key:value`; commas separate several."""
    found = []
    for part in (part for text in texts for part in text.split(",")):
        key, equals, value = part.partition("=")
        if not (key and equals and value):
            raise UserError(f"the tag {part!r} must have the form key=value")
        found.append(f"{key}:{value}")
    return found
