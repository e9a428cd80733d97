"""`kumactl inspect dataplane|zoneingress|zoneegress NAME`: the configuration and state of one Envoy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import click

from kumactl.lookup_client import asked_of
from kumactl.output import FORMATS, show, show_bytes
from kumactl.policy_inspection import proxy_policies
from kumactl.session import Command, Session, with_session
from kumactl.urls import Query, path_of
from kumamesh.errors import UserError
from kumamesh.resource import ResourceKey

F = TypeVar("F", bound=Callable[..., Any])

_ENVOY = {"config-dump": "xds", "stats": "stats", "clusters": "clusters"}
"""What Envoy itself is asked for, and its path."""
_MEANT_FOR = {
    "shadow": ("config",),
    "include": ("config",),
    "output": ("policies",),
    "include_eds": ("config-dump",),
    "format_": ("stats", "clusters"),
}
"""Types for which the flags have a meaning."""


def _envoy_options(types: Sequence[str]) -> Callable[[F], F]:
    """Flags of every proxy; the first of the types is the default."""

    def add(function: F) -> F:
        for option in (
            click.option(
                "--format", "format_", type=click.Choice(("text", "json")), help="Of stats and clusters"
            ),
            click.option("--include-eds", is_flag=True, help="Endpoints too, in the config-dump"),
            click.option(
                "--type",
                "type_",
                type=click.Choice(types),
                default=types[0],
                help=f"What to show: {', '.join(types)} (default {types[0]})",
            ),
        ):
            function = option(function)
        return function

    return add


@click.command(
    name="dataplane", cls=Command, short_help="Show policies, configuration, statistics of a data plane proxy"
)
@click.argument("name")
@_envoy_options(("policies", "config-dump", "stats", "clusters", "config"))
@click.option(
    "--shadow",
    is_flag=True,
    help="Configuration with the policies that have the label kuma.io/effect: shadow",
)
@click.option("--include", multiple=True, help="diff: what would change against the present configuration")
@click.option("--output", "-o", type=click.Choice(FORMATS), default="table", help="Output format of policies")
@with_session
def dataplane(session: Session, /, name: str, type_: str, **flags: Any) -> None:
    """Show the policies of a data plane proxy, its configuration as the control plane computes it (config),
    or what its Envoy has: config-dump, stats, clusters."""
    _check_flags(type_, flags)
    key = ResourceKey("Dataplane", session.mesh, name)
    if type_ == "config":
        included = ",".join(flags["include"])
        query = [("shadow", "true")] if flags["shadow"] else []
        show_bytes(_ask(session, key, "_config", [*query, *([("include", included)] if included else [])]))
    elif type_ == "policies":
        _show_policies(session, key, flags["output"])
    else:
        _show_envoy(session, key, type_, flags)


def _zone_proxy(type_name: str) -> click.Command:
    @click.command(
        name=type_name.lower(),
        cls=Command,
        help=f"Show the configuration, the statistics or the clusters of the Envoy of a {type_name}.",
        short_help=f"Show configuration, statistics of a {type_name}",
    )
    @click.argument("name")
    @_envoy_options(tuple(_ENVOY))
    @with_session
    def command(session: Session, /, name: str, type_: str, **flags: Any) -> None:
        _check_flags(type_, flags)
        _show_envoy(session, ResourceKey(type_name, "", name), type_, flags)

    return command


COMMANDS = (dataplane, _zone_proxy("ZoneIngress"), _zone_proxy("ZoneEgress"))


def _show_envoy(session: Session, key: ResourceKey, type_: str, flags: Mapping[str, Any]) -> None:
    query = [("include_eds", "true")] if flags["include_eds"] else []
    query += [("format", "json")] if flags["format_"] == "json" else []
    show_bytes(_ask(session, key, _ENVOY[type_], query))


def _show_policies(session: Session, key: ResourceKey, output: str) -> None:
    document = asked_of(session.client, key, lambda path: session.client.get(path + path_of("policies")))
    if output == "table":
        click.echo(proxy_policies(document))
    else:
        show(document, output)


def _ask(session: Session, key: ResourceKey, aspect: str, query: Query = ()) -> bytes:
    return asked_of(session.client, key, lambda path: session.client.get_bytes(path + path_of(aspect), query))


def _check_flags(type_: str, flags: Mapping[str, Any]) -> None:
    """Raise UserError for a flag that has no meaning for the type."""
    for name, value in flags.items():
        types = _MEANT_FOR[name]
        if value and value != "table" and type_ not in types:
            wanted = " or ".join(f"'--type={each}'" for each in types)
            raise UserError(f"flag '--{name.strip('_').replace('_', '-')}' can be used only when {wanted}")
