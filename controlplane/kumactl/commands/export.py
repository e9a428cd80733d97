"""`kumactl export`: resources as a text that `kumactl apply` reads."""

from __future__ import annotations

from typing import Any

import click

from kumactl import export_plan
from kumactl.answer import plain, text
from kumactl.export_plan import FEDERATION, FORMATS, KUBERNETES, PROFILES, UNIVERSAL
from kumactl.output import readable
from kumactl.resource_paths import collection_path, item_path
from kumactl.session import Command, Session, warn_of_versions, with_session
from kumamesh.resource import ResourceKey
from kumamesh.resources.registry import TYPES, ResourceType
from kumamesh.resources.rest import SYSTEM_NAMESPACE
from kumamesh.resources.yamldoc import dump_document

_ORIGIN = (
    ("Product", "product"),
    ("Version", "version"),
    ("Hostname", "hostname"),
    ("ClusterId", "clusterId"),
    ("InstanceId", "instanceId"),
)


@click.command(name="export", cls=Command)
@click.option(
    "--profile",
    "-p",
    type=click.Choice(PROFILES),
    default=FEDERATION,
    help="all; no-dataplanes: all but Dataplanes; federation: what a global control plane needs to take over "
    f"a zone; federation-with-policies: and targetRef policies (default {FEDERATION})",
)
@click.option(
    "--format",
    "-f",
    "format_",
    type=click.Choice(FORMATS),
    default=UNIVERSAL,
    help=f"Form of the resources (default {UNIVERSAL})",
)
@click.option(
    "--system-namespace",
    "-n",
    default=SYSTEM_NAMESPACE,
    help=f"Namespace of the control plane, for --format={KUBERNETES} (default {SYSTEM_NAMESPACE})",
)
@click.option(
    "--include-admin", "-a", is_flag=True, help="Secrets too; the federation profiles have them in any case"
)
@with_session
def command(session: Session, profile: str, format_: str, system_namespace: str, include_admin: bool) -> None:
    """Print resources with which another control plane can begin: `kumactl export | kumactl apply -f -`. The
    output of the federation profiles holds secrets."""
    index = session.client.index()
    warn_of_versions(index)
    types = export_plan.exported_types(profile, include_admin=include_admin)
    meshes = [text(mesh, "name") for mesh in session.client.get_all(collection_path(TYPES["Mesh"], ""))]
    found = [document for type_ in types for document in _resources(session, type_, meshes)]
    documents = export_plan.in_order(found)
    if format_ == KUBERNETES:
        objects = [_object(session, document, system_namespace) for document in documents]
        written = [
            export_plan.kubernetes(one, profile)
            for one in objects
            if export_plan.in_namespace(one, profile, system_namespace)
        ]
    else:
        written = [export_plan.universal(readable(one), profile) for one in documents]
    # Only when all of it is there: half an export looks like a whole one.
    click.echo("# " + ", ".join(f"{title}: {plain(text(index, key))}" for title, key in _ORIGIN))
    for one in written:
        click.echo(f"---\n{dump_document(one)}", nl=False)


def _resources(session: Session, type_: ResourceType, meshes: list[str]) -> list[dict[str, Any]]:
    found = [
        item
        for mesh in (meshes if type_.mesh_scoped else [""])
        for item in session.client.get_all(collection_path(type_, mesh))
    ]
    if type_.admin_only:
        # What is secret need not be in lists.
        found = [session.client.get(item_path(_key(item))) for item in found]
    return found


def _object(session: Session, document: dict[str, Any], namespace: str) -> dict[str, Any]:
    query = [("format", KUBERNETES)]
    if namespace != SYSTEM_NAMESPACE:
        query.append(("namespace", namespace))
    return session.client.get(item_path(_key(document)), query)


def _key(document: dict[str, Any]) -> ResourceKey:
    return ResourceKey(text(document, "type"), text(document, "mesh"), text(document, "name"))
