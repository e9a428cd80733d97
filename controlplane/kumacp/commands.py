"""The commands of `kuma-cp`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click
import yaml

from kumacp.settings import CpSettings
from kumamesh import commands
from kumamesh import version as build
from kumamesh.commands import CONTEXT_SETTINGS
from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.options import add_flags
from kumamesh.settings import resolve


@click.group(cls=commands.Group, context_settings=CONTEXT_SETTINGS)
def cli() -> None:
    """The control plane of a service mesh: REST for people, configuration and certificates for proxies."""


@cli.command()
@click.option(
    "--config-file",
    "-c",
    type=click.Path(dir_okay=False, path_type=Path),
    help="YAML file with settings; flags and variables win over it.",
)
@add_flags(CpSettings)
def run(config_file: Path | None, **flags: Any) -> None:
    """Run the control plane until SIGTERM or SIGINT."""
    resolved = resolve(CpSettings, flags=flags, environ=os.environ, document=_document(config_file))
    # Servers, database and gRPC take a second to import: help and version need none of them.
    from kumacp.app import start

    start(resolved)


@cli.command()
@click.option("--detailed", "-a", is_flag=True, help="Print all there is to know about this build.")
def version(detailed: bool) -> None:
    """Print the version."""
    click.echo(build.detailed() if detailed else build.short())


def _document(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(
            f"the configuration file {path} cannot be read: {error.strerror}", exit_code=EXIT_USAGE
        ) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        reason = getattr(error, "problem", None) or "not YAML"
        raise UserError(f"{path}{place}: {reason}", exit_code=EXIT_USAGE) from None
    if loaded is not None and not isinstance(loaded, dict):
        raise UserError(f"{path}: the configuration file must be a mapping of settings", exit_code=EXIT_USAGE)
    return loaded or {}


def execute(arguments: list[str]) -> int:
    """The exit code."""
    return commands.run(cli, "kuma-cp", arguments)
