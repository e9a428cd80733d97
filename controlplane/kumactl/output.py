"""Documents as YAML or JSON text, and tables."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from typing import Any

import click

from kumactl.ages import parse_time
from kumactl.answer import plain
from kumactl.table import Table
from kumamesh.resources.yamldoc import dump_document

FORMATS = ("table", "yaml", "json")
_TIMES = ("creationTime", "modificationTime")

output_option = click.option(
    "--output", "-o", "output", type=click.Choice(FORMATS), default="table", help="Output format"
)


def show(document: dict[str, Any], output: str, table: Callable[[], Table] | None = None) -> None:
    """Print a resource or a list of them, or the table; what has no table is printed as YAML."""
    if output == "json":
        click.echo(json.dumps(readable(document), indent=2, ensure_ascii=False))
    elif output == "yaml" or table is None:
        click.echo(dump_document(readable(document)), nl=False)
    else:
        show_table(table())


def show_table(table: Table) -> None:
    """In the form that programs expect; on a terminal, in one that fits it."""
    click.echo(table.text(shutil.get_terminal_size().columns if on_terminal() else 0))


def show_bytes(content: bytes) -> None:
    """Print what came as it came; a terminal gets nothing that steers it."""
    text = content.decode("utf-8", "replace")
    if on_terminal():
        text = "\n".join(plain(line.expandtabs()) for line in text.split("\n"))
    click.echo(text, nl=not text.endswith("\n"))


def on_terminal() -> bool:
    """Whether a person reads the output at once; there may be none at all."""
    return sys.stdout is not None and sys.stdout.isatty()


def readable(document: dict[str, Any]) -> dict[str, Any]:
    """The resource or list without the zero times of the wire: such a resource is computed, or not stored."""
    shown = {key: value for key, value in document.items() if key not in _TIMES or parse_time(value)}
    if isinstance(shown.get("items"), list):
        shown["items"] = [readable(item) if isinstance(item, dict) else item for item in shown["items"]]
    return shown
