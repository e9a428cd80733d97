"""Variables in resource files: `{{ name }}`, as mustache writes them, without escaping (kuma-cp 8.3).

What begins with a dot, `{{.service}}`, is a template of Go that belongs to the resource, and stays.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from kumamesh.errors import EXIT_USAGE, UserError
from kumamesh.settings import suggestion

_TAG = re.compile(r"\{\{\{(?P<triple>[^{}]*)\}\}\}|\{\{(?P<sigil>[!&#^/>]?)(?P<name>[^{}]*)\}\}")
"""Blanks around a name are taken off afterwards: matched here, many of them would take for ever."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text, and the variables that it did not ask for."""

    text: str
    unused: tuple[str, ...]


def render(text: str, variables: Mapping[str, str], source: str) -> Rendered:
    """Every variable replaced; raises UserError that names file and line for a variable without a value and
    for tags that do more than replace."""
    used: set[str] = set()

    def where(tag: re.Match[str]) -> str:
        return f"{source}:{text.count(chr(10), 0, tag.start()) + 1}"

    def replace(tag: re.Match[str]) -> str:
        name, sigil = (tag["triple"] or tag["name"] or "").strip(), tag["sigil"] or ""
        if sigil == "!":
            return ""
        if name.removeprefix("-").lstrip().startswith("."):
            return tag[0]
        if sigil not in ("", "&") or not name or not name.isprintable():
            raise UserError(f"{where(tag)}: only variables may stand in double braces, not {tag[0]!r}")
        if name not in variables:
            hint = suggestion(name, variables) or f"; give it with -v {name}=VALUE"
            raise UserError(f"{where(tag)}: the variable {name} has no value{hint}", exit_code=EXIT_USAGE)
        used.add(name)
        return variables[name]

    rendered = _TAG.sub(replace, text)
    return Rendered(rendered, tuple(sorted(set(variables) - used)))


def parse_variables(pairs: Sequence[str]) -> dict[str, str]:
    """`name=value` pairs, a later one wins; raises UserError."""
    variables = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UserError(f"the variable {pair!r} must have the form name=value", exit_code=EXIT_USAGE)
        variables[name.strip()] = value
    return variables
