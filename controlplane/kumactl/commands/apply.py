"""`kumactl apply`: resources from files, directories and URLs to the control plane."""

from __future__ import annotations

import sys

import click

from kumactl.failure import Refused
from kumactl.manifest import Entry, read_manifest
from kumactl.output import readable
from kumactl.resource_paths import item_path
from kumactl.session import Command, Session, warn, with_session
from kumactl.source_disk import STDIN, read_sources, source_name
from kumamesh.errors import UserError
from kumamesh.resources.rest import to_rest
from kumamesh.resources.yamldoc import dump_document
from kumamesh.template import parse_variables


@click.command(name="apply", cls=Command)
@click.option(
    "--file",
    "-f",
    "files",
    multiple=True,
    type=click.Path(allow_dash=True),
    help="File, directory, URL, or - for stdin; may be repeated",
)
@click.option("--var", "-v", "variables", multiple=True, help="name=value for {{ name }} in the files")
@click.option("--dry-run", is_flag=True, help="Print the resources instead of applying them")
@with_session
def command(session: Session, files: tuple[str, ...], variables: tuple[str, ...], dry_run: bool) -> None:
    """Create or modify resources. All documents are checked before the first one is sent. They may be flat,
    have their body under `spec`, be Kubernetes objects, or lists of any of these."""
    if not files and sys.stdin is not None and sys.stdin.isatty():
        raise UserError("there is nothing to apply; name a file with -f, or pipe resources in")
    values = parse_variables(variables)
    entries = [
        entry
        for file in files or (STDIN,)
        for source in read_sources(file, session.timeout_s())
        for entry in read_manifest(source, values, session.mesh)
    ]
    if not entries:
        raise UserError(
            f"there is no resource in {', '.join(source_name(file) for file in files or (STDIN,))}"
        )
    if dry_run:
        texts = [dump_document(readable(to_rest(entry.resource))) for entry in entries]
        click.echo("---\n".join(texts), nl=False)
        return
    for entry in entries:
        _apply(session, entry)


def _apply(session: Session, entry: Entry) -> None:
    resource = entry.resource
    try:
        created, warnings = session.client.put(item_path(resource.key), to_rest(resource))
    except Refused as error:
        # Those before it are applied already: the refused one must be found.
        raise UserError(f'{entry.place}: {resource.type} "{resource.name}": {error}') from None
    mesh = f' mesh="{resource.mesh}"' if resource.mesh else ""
    outcome = "Created" if created else "Updated"
    click.echo(f'resource type="{resource.type}"{mesh} name="{resource.name}" {outcome}')
    for text in warnings:
        warn(text)
