"""Declared options as click options: the one place where flags are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from kumamesh.settings import Option, Seconds, options

F = TypeVar("F", bound=Callable[..., Any])


class _Parsed(click.ParamType[Any]):
    def __init__(self, item: Option) -> None:
        self.item = item
        self.name = _type_name(item)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return self.item.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


def _type_name(item: Option) -> str:
    if item.type is Seconds:
        return "duration"
    return "text" if item.type is str else getattr(item.type, "__name__", "text").lower()


def add_flags(cls: type) -> Callable[[F], F]:
    """Decorate a click command with the flags of a settings class. The command gets one keyword argument for
    each option that has a flag, named like the field, None when the flag was not given."""

    def decorate(command: F) -> F:
        for item in reversed([item for item in options(cls) if item.flag]):
            command = _flag(item)(command)
        return command

    return decorate


def _flag(item: Option) -> Callable[[F], F]:
    names = [f"--{item.flag}", item.name]
    if item.short:
        names.append(f"-{item.short}")
    text = describe(item)
    if item.is_bool:
        # `--skip-verify` and `--skip-verify=false`, as Go's flags do.
        return click.option(
            *names, type=_Parsed(item), is_flag=False, flag_value="true", default=None, help=text
        )
    if item.repeatable:
        return click.option(*names, type=str, multiple=True, default=None, help=text, callback=_joined(item))
    metavar = f"[{'|'.join(item.choices)}]" if item.choices else None
    return click.option(*names, type=_Parsed(item), metavar=metavar, default=None, help=text)


def _joined(item: Option) -> Callable[[click.Context, click.Parameter, tuple[str, ...] | None], Any]:
    def convert(ctx: click.Context, param: click.Parameter, values: tuple[str, ...] | None) -> Any:
        try:
            return tuple(part for value in values for part in item.parse(value)) if values else None
        except ValueError as error:
            raise click.BadParameter(str(error), ctx, param) from None

    return convert


def describe(item: Option) -> str:
    """Help text with the default and the variable."""
    default = "" if item.secret else item.show(item.default)
    return item.help + (f" (default {default})" if default else "") + (f" [{item.env}]" if item.env else "")
