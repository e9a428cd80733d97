"""Documents as YAML or JSON text."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click

from kumactl.ages import parse_time
from kumamesh.resources.yamldoc import dump_document

FORMATS = ("table", "yaml", "json")
_TIMES = ("creationTime", "modificationTime")

output_option = click.option(
    "--output", "-o", "output", type=click.Choice(FORMATS), default="table", help="Output format"
)


def show(document: dict[str, Any], output: str, table: Callable[[], str]) -> None:
    """Print a resource or a list of them, or the table."""
    if output == "json":
        click.echo(json.dumps(readable(document), indent=2, ensure_ascii=False))
    elif output == "yaml":
        click.echo(dump_document(readable(document)), nl=False)
    else:
        click.echo(table())


def readable(document: dict[str, Any]) -> dict[str, Any]:
    """The resource or list without the zero times of the wire: such a resource is computed, or not stored."""
    shown = {key: value for key, value in document.items() if key not in _TIMES or parse_time(value)}
    if "items" in shown:
        shown["items"] = [readable(item) for item in shown["items"]]
    return shown
