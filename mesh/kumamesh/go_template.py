"""Go templates as far as resources need them: text with `{{.name}}`, blanks trimmed with `{{-` and `-}}`, and
comments. Errors have Go's words, as Kuma shows them (kuma-cp 2.8)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

_OPEN, _CLOSE = "{{", "}}"
_FIELD = re.compile(r"\.([^\W\d]\w*)")
_WORD = re.compile(r"[^\W\d]\w*")
_BUILTINS = frozenset(
    {
        *("and", "break", "block", "call", "continue", "define", "else", "end", "eq", "false", "ge", "gt"),
        *("html", "if", "index", "js", "le", "len", "lt", "ne", "nil", "not", "or", "print", "printf"),
        *("println", "range", "slice", "template", "true", "urlquery", "with"),
    }
)
_NO_VALUE = "<no value>"
MAX_CHARS = 4096
"""Of a template. A thousand of them are kept, and a name is made of far less."""


class TemplateError(ValueError):
    """What is wrong with the text of a template."""


@dataclass(frozen=True, slots=True)
class Field:
    """`{{.name}}`."""

    name: str


@dataclass(frozen=True, slots=True)
class Template:
    """Texts and fields in turn."""

    parts: tuple[str | Field, ...]

    def render(self, values: Mapping[str, str], longest: int) -> str:
        """A field without a value becomes `<no value>`. What comes behind `longest` characters is cut off:
        values are as long as they like, and come again and again."""
        text = ""
        for part in self.parts:
            text += (part if isinstance(part, str) else values.get(part.name, _NO_VALUE))[:longest]
            if len(text) > longest:
                break
        return text[:longest]


@lru_cache(maxsize=1024)
def parse(text: str) -> Template:
    """Raises TemplateError."""
    if len(text) > MAX_CHARS:
        raise TemplateError(f"template: has {len(text)} characters, at most {MAX_CHARS} are supported")
    parts: list[str | Field] = []
    position, trim = 0, False
    while (start := text.find(_OPEN, position)) >= 0:
        line = text.count("\n", 0, start) + 1
        stop = _end_of_action(text, start, line)
        action = text[start + len(_OPEN) : stop]
        literal = text[position:start]
        if trim:
            literal = literal.lstrip()
        if action[:1] == "-" and action[1:2].isspace():
            literal, action = literal.rstrip(), action[1:]
        trim = action[-1:] == "-" and action[-2:-1].isspace()
        field = _action(action[:-1] if trim else action, line)
        parts += [literal, *([field] if field else [])]
        position = stop + len(_CLOSE)
    rest = text[position:]
    parts.append(rest.lstrip() if trim else rest)
    return Template(tuple(part for part in parts if part))


def _end_of_action(text: str, start: int, line: int) -> int:
    stop = text.find(_CLOSE, start)
    if stop < 0:
        _check_word(text[start + len(_OPEN) :].strip(), line)
        raise TemplateError(f"template: :{line}: unclosed action")
    return stop


def _action(action: str, line: int) -> Field | None:
    action = action.strip()
    if action.startswith("/*") and action.endswith("*/") and len(action) >= 4:
        return None
    if not action:
        raise TemplateError(f"template: :{line}: missing value for command")
    found = _FIELD.fullmatch(action)
    if found:
        return Field(found[1])
    _check_word(action, line)
    raise TemplateError(
        f"template: :{line}: {_OPEN}{action[:100]}{_CLOSE} is not supported, only {{{{.name}}}} is"
    )


def _check_word(action: str, line: int) -> None:
    word = _WORD.match(action)
    if word and word[0] not in _BUILTINS:
        raise TemplateError(f'template: :{line}: function "{word[0][:100]}" not defined')
