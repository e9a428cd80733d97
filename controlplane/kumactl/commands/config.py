"""`kumactl config`: the control planes that kumactl knows."""

from __future__ import annotations

from typing import Any

import click

from kumactl.configuration import AUTH_TOKENS, ControlPlane, check_control_plane
from kumactl.configuration_document import to_document
from kumactl.output import show_table
from kumactl.session import Group, Session, warn_of_versions, with_session
from kumactl.table import Table
from kumamesh.errors import UserError
from kumamesh.resources.yamldoc import dump_document


@click.group(name="config", cls=Group)
def command() -> None:
    """Manage the control planes that kumactl knows."""


@command.command()
@with_session
def view(session: Session) -> None:
    """Show the configuration; secrets are hidden."""
    click.echo(dump_document(to_document(session.configuration, hide_secrets=True)), nl=False)


@command.group(name="control-planes", cls=Group)
def control_planes() -> None:
    """Add, list, switch and remove control planes."""


@control_planes.command(name="list")
@with_session
def list_(session: Session) -> None:
    """List the known control planes."""
    configuration = session.configuration
    active = next(
        (c.control_plane for c in configuration.contexts if c.name == configuration.current_context), ""
    )
    rows = [
        ("*" if plane.name == active else "", plane.name, plane.url) for plane in configuration.control_planes
    ]
    show_table(Table(("ACTIVE", "NAME", "ADDRESS"), rows))


@control_planes.command()
@click.option("--name", required=True, help="Name of the control plane")
@click.option("--address", required=True, help="URL of its REST API, such as http://localhost:5681")
@click.option("--overwrite", is_flag=True, help="Replace a control plane of this name")
@click.option("--skip-verify", is_flag=True, help="Check neither certificate nor reachability")
@click.option("--skip-check", is_flag=True, help="Do not check that the control plane answers")
@click.option("--ca-cert-file", type=click.Path(), default="", help="PEM file of the CA of its certificate")
@click.option("--client-cert-file", type=click.Path(), default="", help="PEM certificate to show to it")
@click.option("--client-key-file", type=click.Path(), default="", help="PEM key of that certificate")
@click.option("--headers", multiple=True, help="name=value to send with every request; may be repeated")
@click.option("--auth-type", type=click.Choice((AUTH_TOKENS,)), help="How to authenticate")
@click.option("--auth-conf", multiple=True, help="token=VALUE for --auth-type=tokens")
@with_session
def add(session: Session, /, overwrite: bool, skip_check: bool, **fields: Any) -> None:
    """Add a control plane and make it the active one."""
    control_plane = _control_plane(fields)
    check_control_plane(control_plane)
    configuration = session.configuration.add(control_plane, overwrite=overwrite)
    if not (control_plane.skip_verify or skip_check):
        warn_of_versions(session.client_of(configuration).index())
    session.save(configuration)
    click.echo(f'added Control Plane "{control_plane.name}"')
    click.echo(f'switched active Control Plane to "{control_plane.name}"')


@control_planes.command()
@click.option("--name", required=True, help="Name of the control plane")
@with_session
def switch(session: Session, name: str) -> None:
    """Make another control plane the active one."""
    session.save(session.configuration.switch(name))
    click.echo(f'switched active Control Plane to "{name}"')


@control_planes.command()
@click.option("--name", required=True, help="Name of the control plane")
@with_session
def remove(session: Session, name: str) -> None:
    """Forget a control plane."""
    before = session.configuration
    after = before.remove(name)
    session.save(after)
    click.echo(f'removed Control Plane "{name}"')
    if after.current_context and after.current_context != before.current_context:
        click.echo(f'switched active Control Plane to "{after.current().control_plane}"')


def _control_plane(fields: dict[str, Any]) -> ControlPlane:
    pairs = {name: _pairs(name, fields.pop(name)) for name in ("headers", "auth_conf")}
    auth_type = fields.pop("auth_type") or ""
    return ControlPlane(url=fields.pop("address"), auth_type=auth_type, **{**fields, **pairs})


def _pairs(name: str, texts: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            # The text may be a token: it is not repeated.
            raise UserError(f"--{name.replace('_', '-')} must have the form name=value")
        pairs[key] = value
    return pairs
