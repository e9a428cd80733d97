"""What every command of kumactl shares: the global flags, the configuration and the client."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from kumactl import configuration_disk
from kumactl.answer import plain, text
from kumactl.client import Client
from kumactl.configuration import Configuration
from kumamesh import commands, logs
from kumamesh.durations import parse_duration
from kumamesh.errors import UserError
from kumamesh.version import BUILD, PRODUCT, compatible

DEFAULT_TIMEOUT_S = 60.0
_META = "kumactl."

P = ParamSpec("P")
R = TypeVar("R")


class Duration(click.ParamType[float]):
    """A duration flag, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            seconds = parse_duration(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        if seconds < 0:
            self.fail("must not be negative", param, ctx)
        return seconds


def global_options() -> list[click.Parameter]:
    """Flags that may stand before and after the name of a command; the last one given counts."""

    def remember(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is not None:
            ctx.meta[f"{_META}{param.name}"] = value

    def flag(*names: str, **settings: Any) -> click.Option:
        return click.Option(names, expose_value=False, callback=remember, default=None, **settings)

    return [
        flag(
            "--config-file",
            type=click.Path(path_type=Path),
            help=f"Configuration file (default {configuration_disk.DEFAULT_FILE})",
        ),
        flag("--mesh", "-m", help="Mesh to use (default: that of the active context, else default)"),
        flag(
            "--no-config", is_flag=True, flag_value=True, help="Neither read nor write a configuration file"
        ),
        flag(
            "--api-timeout",
            type=Duration(),
            help=f"Time for a request; 0 is no limit (default {DEFAULT_TIMEOUT_S:.0f}s)",
        ),
        flag("--log-level", type=click.Choice(tuple(logs.LEVELS)), help="How much is logged (default off)"),
    ]


class Command(commands.Command):
    """A command that takes the global flags too."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_options()


class Group(commands.Group):
    """A group that takes the global flags."""

    command_class = Command

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_options()


class Session:
    """One run of kumactl; nothing is read before a command needs it."""

    def __init__(self, flags: dict[str, Any]) -> None:
        self._flags = flags
        self.config_file: Path = self._flag("config_file", configuration_disk.DEFAULT_FILE)
        logs.configure(self._flag("log_level", "off"))
        self._log = logging.getLogger(__name__)

    @functools.cached_property
    def configuration(self) -> Configuration:
        if self._flag("no_config", False):
            return Configuration()
        return configuration_disk.load(self.config_file)

    @property
    def mesh(self) -> str:
        return str(self._flag("mesh", None) or self.configuration.mesh())

    @functools.cached_property
    def client(self) -> Client:
        control_plane = self.configuration.control_plane()
        self._log.info(
            "using a control plane", extra={"control_plane": control_plane.name, "url": control_plane.url}
        )
        return self.client_of(self.configuration)

    def client_of(self, configuration: Configuration, timeout_s: float = DEFAULT_TIMEOUT_S) -> Client:
        """A client of the active control plane of the configuration; a flag wins over the timeout."""
        client = Client(configuration.control_plane(), self.timeout_s(timeout_s))
        click.get_current_context().call_on_close(client.close)
        return client

    def timeout_s(self, default_s: float = DEFAULT_TIMEOUT_S) -> float:
        """For a request; 0 is no limit."""
        return float(self._flag("api_timeout", default_s))

    def save(self, configuration: Configuration) -> None:
        if self._flag("no_config", False):
            raise UserError("the change cannot be remembered with --no-config; leave that flag out")
        configuration_disk.save(self.config_file, configuration)

    def _flag(self, name: str, default: Any) -> Any:
        return self._flags.get(f"{_META}{name}", default)


def with_session(command: Callable[Concatenate[Session, P], R]) -> Callable[P, R]:
    """Hand the session to a command as its first argument."""

    @functools.wraps(command)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return command(Session(click.get_current_context().meta), *args, **kwargs)

    return call


def warn(message: str) -> None:
    """A line on stderr, so that output that a program reads stays clean."""
    click.echo(f"WARNING: {plain(message)}", err=True)


def warn_of_versions(index: Mapping[str, Any]) -> None:
    """When the control plane, of which this is the index, and kumactl may not understand each other."""
    server = plain(text(index, "version")) or "unknown"
    if not compatible(BUILD.version, server):
        warn(f"this kumactl is of {PRODUCT} {BUILD.version}, the control plane of {server}")
