"""Options declared once: a dataclass field gives type, default, help, variable, flag and file key.

Flags, environment names, file schema, `--help` and the reference page derive from the declaration.
Precedence is flag > environment > file > default; an unknown file key is an error (DESIGN.md 2, 3.13).
"""

from __future__ import annotations

import dataclasses
import difflib
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, NewType, TypeVar

from kumamesh.durations import format_duration, parse_duration
from kumamesh.errors import EXIT_USAGE, UserError

Seconds = NewType("Seconds", float)
"""A duration option: written as `30s` or `24h`, held as seconds."""

_META = "option"
_TRUE, _FALSE = {"true", "1", "t", "yes"}, {"false", "0", "f", "no"}

S = TypeVar("S")
T = TypeVar("T")


class Origin(Enum):
    """Where the value of an option came from."""

    FLAG = "flag"
    ENVIRONMENT = "environment"
    FILE = "file"
    DEFAULT = "default"


@dataclass(frozen=True, slots=True)
class Option:
    """One declared option. `type` is the bare type of the field, without None."""

    name: str
    type: type | object
    default: Any
    help: str
    env: str = ""
    key: str = ""
    flag: str = ""
    short: str = ""
    choices: tuple[str, ...] = ()
    secret: bool = False
    repeatable: bool = False
    aliases: tuple[str, ...] = ()
    separator: str = ","

    @property
    def is_bool(self) -> bool:
        return self.type is bool

    def parse(self, text: str) -> Any:
        """The value that a flag's or a variable's text stands for; raises ValueError with a reason."""
        if self.repeatable:
            return tuple(self._parse_one(part.strip()) for part in text.split(self.separator) if part.strip())
        return self._parse_one(text)

    def _parse_one(self, text: str) -> Any:
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}")
        return _PARSERS[self.type](text)

    def show(self, value: Any) -> str:
        """The value as a person would write it."""
        if value is None:
            return ""
        if self.repeatable:
            return self.separator.join(str(item) for item in value)
        if self.type is Seconds:
            return format_duration(value)
        return str(value).lower() if self.is_bool else str(value)


def option(
    default: T,
    *,
    help: str,
    env: str = "",
    key: str = "",
    flag: str = "",
    short: str = "",
    choices: Sequence[str] = (),
    secret: bool = False,
    aliases: Sequence[str] = (),
    separator: str = ",",
) -> T:
    """Declare an option as the default of a dataclass field.

    `env` is the variable (further old names in `aliases`), `key` the dotted path in the configuration file,
    `flag` the long flag without dashes, `short` its one-letter form, `secret` keeps the value out of dumps,
    `separator` stands between the values of a repeatable option.
    """
    meta = {
        "help": help,
        "env": env,
        "key": key,
        "flag": flag,
        "short": short,
        "choices": tuple(choices),
        "secret": secret,
        "aliases": tuple(aliases),
        "separator": separator,
    }
    declared: Any = dataclasses.field(default=default, metadata={_META: meta})
    return declared  # type: ignore[no-any-return]  # a field stands in for its default, as in dataclasses


def options(cls: type) -> tuple[Option, ...]:
    """The options that a settings class declares, in order."""
    hints = typing.get_type_hints(cls)
    found = []
    for item in dataclasses.fields(cls):
        if _META not in item.metadata:
            continue
        bare = _without_none(hints[item.name])
        repeatable = typing.get_origin(bare) is tuple
        found.append(
            Option(
                name=item.name,
                type=typing.get_args(bare)[0] if repeatable else bare,
                default=item.default,
                repeatable=repeatable,
                **item.metadata[_META],
            )
        )
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Resolved(typing.Generic[S]):
    """Settings, and where each value came from."""

    settings: S
    origins: Mapping[str, Origin]
    warnings: tuple[str, ...] = ()


def resolve(
    cls: type[S],
    *,
    flags: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    document: Mapping[str, Any] | None = None,
) -> Resolved[S]:
    """Combine all sources. `flags` maps field names to parsed values, None meaning not given; `document` is
    the parsed configuration file. Raises UserError that names the option, the source and the remedy."""
    flags, environ = flags or {}, environ or {}
    declared = options(cls)
    file_values = _flatten(document or {}, declared)
    values: dict[str, Any] = {}
    origins: dict[str, Origin] = {}
    warnings: list[str] = []
    for item in declared:
        variable = next((name for name in (item.env, *item.aliases) if name and name in environ), "")
        if flags.get(item.name) is not None:
            values[item.name], origins[item.name] = flags[item.name], Origin.FLAG
        elif variable and environ[variable] != "":
            values[item.name] = _parsed(item, environ[variable], f"the variable {variable}")
            origins[item.name] = Origin.ENVIRONMENT
            if variable != item.env:
                warnings.append(f"the variable {variable} is an old name; use {item.env}")
        elif item.key in file_values:
            values[item.name] = _from_file(item, file_values[item.key])
            origins[item.name] = Origin.FILE
        else:
            origins[item.name] = Origin.DEFAULT
    return Resolved(cls(**values), origins, tuple(warnings + _misspelt(declared, environ)))


def dump(settings: Any) -> dict[str, Any]:
    """Settings as a nested document in the shape of the configuration file, secrets replaced by `*****`."""
    document: dict[str, Any] = {}
    for item in options(type(settings)):
        if not item.key:
            continue
        value = getattr(settings, item.name)
        if item.secret:
            value = "*****" if value else ""
        elif item.type is Seconds and value is not None:
            value = format_duration(value)
        elif isinstance(value, Path):
            value = str(value)
        elif isinstance(value, tuple):
            value = list(value)
        *path, last = item.key.split(".")
        node = document
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    return document


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        (hint,) = (arg for arg in typing.get_args(hint) if arg is not type(None))
    return hint


def _parse_bool(text: str) -> bool:
    lowered = text.lower()
    if lowered not in _TRUE | _FALSE:
        raise ValueError(f"{text!r} is neither true nor false")
    return lowered in _TRUE


def _parse_int(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a whole number") from None


def _parse_float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is not a number") from None


_PARSERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: _parse_int,
    float: _parse_float,
    bool: _parse_bool,
    Path: Path,
    Seconds: parse_duration,
}


def _parsed(item: Option, text: str, source: str) -> Any:
    try:
        return item.parse(text)
    except ValueError as error:
        raise UserError(f"{source} is wrong: {error}", exit_code=EXIT_USAGE) from None


def _from_file(item: Option, value: Any) -> Any:
    source = f"the configuration file's {item.key}"
    if item.repeatable and isinstance(value, list):
        return tuple(one for part in value for one in _parsed(item, str(part), source))
    if isinstance(value, bool):
        value = str(value).lower()
    if isinstance(value, dict | list) or value is None:
        raise UserError(f"{source} must be a single value", exit_code=EXIT_USAGE)
    return _parsed(item, str(value), source)


def _flatten(document: Mapping[str, Any], declared: tuple[Option, ...]) -> dict[str, Any]:
    known = {item.key for item in declared if item.key}
    flat: dict[str, Any] = {}

    def walk(node: Mapping[str, Any], prefix: str) -> None:
        for key, value in node.items():
            path = f"{prefix}{key}"
            if path in known:
                flat[path] = value
            elif isinstance(value, Mapping) and any(name.startswith(path + ".") for name in known):
                walk(value, path + ".")
            else:
                hint = suggestion(path, known)
                raise UserError(
                    f"the configuration file has an unknown key {path}{hint}", exit_code=EXIT_USAGE
                )

    walk(document, "")
    return flat


def _misspelt(declared: tuple[Option, ...], environ: Mapping[str, str]) -> list[str]:
    known = {name for item in declared for name in (item.env, *item.aliases) if name}
    found = []
    for name in sorted(environ):
        if name.startswith("KUMA_") and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.9)
            if near:
                found.append(f"the variable {name} is not known and is ignored; did you mean {near[0]}?")
    return found


def suggestion(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean x?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, sorted(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
