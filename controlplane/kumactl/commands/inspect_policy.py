"""`kumactl inspect <policy> NAME`: the proxies that a policy applies to."""

from __future__ import annotations

import click

from kumactl.lookup_client import asked_of
from kumactl.output import output_option, show
from kumactl.policy_inspection import affected_proxies, affected_table
from kumactl.session import Command, Session, with_session
from kumactl.urls import path_of
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import ResourceType


def command_for(type_: ResourceType) -> click.Command:
    """The command of one type of policy."""

    @click.command(
        name=type_.singular,
        cls=Command,
        help=f"Show the data plane proxies that a {type_.name} applies to.",
        short_help=f"Show whom a {type_.name} applies to",
    )
    @click.argument("name")
    @click.option("--new-api", is_flag=True, help="Only the names of the proxies, as a table")
    @output_option
    @with_session
    def command(session: Session, name: str, new_api: bool, output: str) -> None:
        key = ResourceKey(type_.name, session.mesh if type_.mesh_scoped else "", name)
        below = path_of("_resources", "dataplanes") if new_api else path_of("dataplanes")
        items = asked_of(
            session.client, key, lambda path: session.client.get_all(path + below, page_size=None)
        )
        if output == "table" and not new_api:
            click.echo(affected_proxies(items))
        else:
            show({"total": len(items), "items": items}, output, lambda: affected_table(items))

    return command
