"""`kumactl apply`: resources from files, directories and URLs to the control plane."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from kumactl.download_client import download, is_url, shown
from kumactl.failure import Refused, bullet
from kumactl.output import readable
from kumactl.resource_paths import item_path
from kumactl.session import Command, Session, warn, with_session
from kumamesh.errors import UserError
from kumamesh.resource import InvalidResource, Resource
from kumamesh.resources.registry import TYPES
from kumamesh.resources.rest import from_rest, to_rest
from kumamesh.resources.yamldoc import dump_document, load_documents
from kumamesh.template import parse_variables, render

SUFFIXES = (".yaml", ".yml", ".json")
STDIN = "-"


@dataclass(frozen=True, slots=True)
class _Text:
    source: str
    text: str


@dataclass(frozen=True, slots=True)
class _Document:
    """A resource, and the place that messages about it name."""

    place: str
    resource: Resource


@click.command(name="apply", cls=Command)
@click.option(
    "--file", "-f", "files", multiple=True, help="File, directory, URL, or - for stdin; may be repeated"
)
@click.option("--var", "-v", "variables", multiple=True, help="name=value for {{ name }} in the files")
@click.option("--dry-run", is_flag=True, help="Print the resources instead of applying them")
@with_session
def command(session: Session, files: tuple[str, ...], variables: tuple[str, ...], dry_run: bool) -> None:
    """Create or modify resources. All documents are checked before the first one is sent."""
    if not files and sys.stdin.isatty():
        raise UserError("there is nothing to apply; name a file with -f, or pipe resources in")
    values = parse_variables(variables)
    documents = [
        document
        for file in files or (STDIN,)
        for text in _texts(file, session)
        for document in _documents(text, values, session.mesh)
    ]
    if not documents:
        raise UserError(f"there is no resource in {', '.join(_shown(file) for file in files or (STDIN,))}")
    if dry_run:
        texts = [dump_document(readable(to_rest(document.resource))) for document in documents]
        click.echo("---\n".join(texts), nl=False)
        return
    for document in documents:
        _apply(session, document)


def _shown(file: str) -> str:
    if is_url(file):
        return shown(file)
    return "stdin" if file == STDIN else file


def _texts(file: str, session: Session) -> Iterator[_Text]:
    if file == STDIN:
        yield _Text(_shown(file), sys.stdin.read())
        return
    if is_url(file):
        yield _Text(_shown(file), _decoded(download(file, session.timeout_s()), _shown(file)))
        return
    path = Path(file)
    paths = [path]
    if path.is_dir():
        paths = sorted(item for item in path.iterdir() if item.suffix in SUFFIXES)
        if not paths:
            raise UserError(f"the directory {file} has no file that ends in {', '.join(SUFFIXES)}")
    for item in paths:
        try:
            content = item.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {item}: {error.strerror}") from None
        yield _Text(str(item), _decoded(content, str(item)))


def _decoded(content: bytes, source: str) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise UserError(f"cannot read {source}: it is not UTF-8 text") from None


def _documents(text: _Text, variables: dict[str, str], mesh: str) -> Iterator[_Document]:
    documents = load_documents(render(text.text, variables, text.source).text, text.source)
    for number, document in enumerate(documents, 1):
        where = text.source if len(documents) == 1 else f"{text.source}, document {number}"
        type_ = TYPES.get(str(document.get("type")))
        if type_ is not None and type_.mesh_scoped:
            document.setdefault("mesh", mesh)
        try:
            yield _Document(where, from_rest(document))
        except InvalidResource as error:
            lines = [bullet(violation.field, violation.message) for violation in error.violations]
            raise UserError("\n".join([f"{where}: Resource is not valid", *lines])) from None


def _apply(session: Session, document: _Document) -> None:
    resource = document.resource
    try:
        created, warnings = session.client.put(item_path(resource.key), to_rest(resource))
    except Refused as error:
        # Those before it are applied already: the refused one must be found.
        raise UserError(f'{document.place}: {resource.type} "{resource.name}": {error}') from None
    mesh = f' mesh="{resource.mesh}"' if resource.mesh else ""
    outcome = "Created" if created else "Updated"
    click.echo(f'resource type="{resource.type}"{mesh} name="{resource.name}" {outcome}')
    for text in warnings:
        warn(text)
