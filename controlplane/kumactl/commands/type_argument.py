"""The argument that names a type of resources."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from kumactl.session import Command
from kumamesh.resources.registry import ResourceType

F = TypeVar("F", bound=Callable[..., Any])


class TypeCommand(Command):
    """A command on one of the `types`: its help lists them, and is what it prints without arguments."""

    def __init__(self, *args: Any, types: Sequence[ResourceType], **kwargs: Any) -> None:
        super().__init__(*args, no_args_is_help=True, **kwargs)
        self.types = types

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Types"):
            formatter.write_dl([(type_.plural, "") for type_ in self.types])


def type_argument(types: Sequence[ResourceType]) -> Callable[[F], F]:
    """`type_`, the name of one of the types in singular or plural; shells complete both."""

    def complete(_: click.Context, __: click.Parameter, incomplete: str) -> list[str]:
        names = {name for type_ in types for name in (type_.singular, type_.plural)}
        return sorted(name for name in names if name.startswith(incomplete))

    return click.argument("type_", metavar="TYPE", shell_complete=complete)
