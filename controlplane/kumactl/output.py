"""Documents as YAML or JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from kumamesh.resources.yamldoc import dump_document

FORMATS = ("table", "yaml", "json")

output_option = click.option(
    "--output", "-o", "output", type=click.Choice(FORMATS), default="table", help="Output format"
)


def show(document: Any, output: str, table: Callable[[], str]) -> None:
    """Print the document as it is, or the table."""
    if output == "json":
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(dump_document(document), nl=False)
    else:
        click.echo(table())
