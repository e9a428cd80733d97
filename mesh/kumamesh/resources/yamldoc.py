"""YAML documents as people write them: several in a file, and every mistake with its line and column.

Read is what JSON can express, with YAML 1.2's idea of booleans: `yes` and `on` are strings, dates too.
"""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

from kumamesh.errors import UserError

MAX_BYTES = 10 * 1024 * 1024
MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""Values of a text, those that aliases repeat included."""

_TAG = "tag:yaml.org,2002:"
_SCALARS = (
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("bool", r"^(?:true|True|TRUE|false|False|FALSE)$", list("tTfF")),
    ("int", r"^(?:[-+]?(?:0|[1-9][0-9]{0,18})|0x[0-9a-fA-F]{1,16})$", list("-+0123456789")),
    (
        "float",
        r"^[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]{1,3})?$",
        list("-+.0123456789"),
    ),
    ("merge", r"^<<$", ["<"]),
)
"""Plain scalars that are no strings: tag, form and first characters."""
_JSON_TAGS = ("null", "bool", "int", "float", "str", "seq", "map")


class _Loader(yaml.CSafeLoader):
    """Builds JSON values only, and refuses a key that is given twice."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 -- PyYAML's way
    yaml_constructors = {  # noqa: RUF012 -- PyYAML's way
        tag: constructor
        for tag, constructor in yaml.CSafeLoader.yaml_constructors.items()
        if tag is None or tag.removeprefix(_TAG) in _JSON_TAGS
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        self._refuse_twins(node)
        return super().construct_mapping(node, deep)

    def _refuse_twins(self, node: Any) -> None:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(problem="a key must be a string", problem_mark=key.start_mark)
            if (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f'the key "{key.value}" is given twice', problem_mark=key.start_mark
                )
            seen.add((key.tag, key.value))


class _Dumper(yaml.CSafeDumper):
    """Writes every value in full."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


for _tag, _form, _first in _SCALARS:
    # The writer knows them too, so that it puts in quotes what the reader would not take for a string.
    _Loader.add_implicit_resolver(_TAG + _tag, re.compile(_form), _first)
    _Dumper.add_implicit_resolver(_TAG + _tag, re.compile(_form), _first)


def load_documents(
    text: str, source: str, *, form: str = "an object with type and name"
) -> list[dict[str, Any]]:
    """The documents of a text; empty ones are left out. `source` names it in errors, which are UserErrors of
    the form `source:line:column: reason`; `form` is what a document that is no object should have been."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise UserError(f"{source}: the text is not valid Unicode: {error.reason}") from None
    if size > MAX_BYTES:
        raise UserError(f"{source}: the text is larger than {MAX_BYTES // 2**20} MiB; split it")
    try:
        _Survey(source, form).run(text)
        documents = list(yaml.load_all(text, _Loader))
    except yaml.MarkedYAMLError as error:
        place = _place(error.problem_mark or error.context_mark)
        end = (text.count("\n") + 1, len(text) - text.rfind("\n"))
        raise UserError(_where(source, min(place, end) if place else None, _reason(error))) from None
    except yaml.reader.ReaderError as error:
        raise UserError(_where(source, _place_of(text, error.position), _unreadable(error))) from None
    except ValueError as error:
        raise UserError(f"{source}: {error}") from None
    return [document for document in documents if document is not None]


def dump_document(document: dict[str, Any]) -> str:
    """The document in block style, keys in their order."""
    dumped: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1_000_000)
    return dumped


class _Survey:
    """Walks the events of a text before anything is built from it: building is recursive, and aliases are
    cheap to write and dear to walk."""

    def __init__(self, source: str, form: str) -> None:
        self._source = source
        self._form = form
        self._anchored: dict[str, tuple[int, int]] = {}  # values, and levels of collections, in it
        self._open: list[tuple[str | None, int]] = []  # anchor, values before it
        self._levels: list[int] = []  # within each that is open
        self._values = 0

    def run(self, text: str) -> None:
        for event in yaml.parse(text, yaml.CSafeLoader):
            if isinstance(event, yaml.DocumentStartEvent):
                self._anchored.clear()
            elif isinstance(event, yaml.CollectionStartEvent):
                self._start(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                self._end()
            elif isinstance(event, yaml.AliasEvent):
                self._repeat(event)
            elif isinstance(event, yaml.ScalarEvent):
                self._scalar(event)

    def _start(self, event: Any) -> None:
        if not self._open and isinstance(event, yaml.SequenceStartEvent):
            self._refuse(event, f"a document must be {self._form}, not a list")
        self._check_depth(1, event)
        self._open.append((event.anchor, self._values))
        self._levels.append(0)
        if event.anchor:
            self._anchored.pop(event.anchor, None)
        self._count(1, event)

    def _end(self) -> None:
        anchor, before = self._open.pop()
        levels = self._levels.pop() + 1
        self._hold(levels)
        if anchor:
            self._anchored[anchor] = (self._values - before, levels)

    def _scalar(self, event: Any) -> None:
        plain_null = event.implicit[0] and event.value in {"", "~", "null", "Null", "NULL"}
        if not self._open and not plain_null:
            self._refuse(event, f"a document must be {self._form}")
        if event.anchor:
            self._anchored[event.anchor] = (1, 0)
        self._count(1, event)

    def _repeat(self, event: Any) -> None:
        """An alias is as deep and as large as what it repeats."""
        if any(anchor == event.anchor for anchor, _ in self._open):
            self._refuse(event, f'the alias "{event.anchor}" lies inside of what it repeats')
        values, levels = self._anchored.get(event.anchor, (1, 0))
        self._check_depth(levels, event)
        self._hold(levels)
        self._count(values, event)

    def _hold(self, levels: int) -> None:
        """The collection that is open has so many levels in it."""
        if self._levels:
            self._levels[-1] = max(self._levels[-1], levels)

    def _check_depth(self, levels: int, event: Any) -> None:
        if len(self._open) + levels > MAX_DEPTH:
            self._refuse(event, f"nested more than {MAX_DEPTH} levels deep")

    def _count(self, values: int, event: Any) -> None:
        self._values += values
        if self._values > MAX_VALUES:
            self._refuse(event, f"more than {MAX_VALUES:,} values, aliases counted as what they repeat")

    def _refuse(self, event: Any, reason: str) -> None:
        raise UserError(_where(self._source, _place(event.start_mark), reason))


def _where(source: str, place: tuple[int, int] | None, reason: str) -> str:
    return f"{source}:{place[0]}:{place[1]}: {reason}" if place else f"{source}: {reason}"


def _place(mark: Any) -> tuple[int, int] | None:
    """Line and column, counted from 1."""
    return (mark.line + 1, mark.column + 1) if mark else None


def _reason(error: yaml.MarkedYAMLError) -> str:
    parts = [part for part in (error.problem, error.context) if part]
    return " ".join(parts[0].split()) + (f" ({parts[1]})" if len(parts) == 2 else "")


def _unreadable(error: yaml.reader.ReaderError) -> str:
    code = error.character if isinstance(error.character, int) else ord(error.character)
    return f"the character #x{code:04x} is not allowed"


def _place_of(text: str, position: int) -> tuple[int, int]:
    """Line and column of a byte."""
    before = text.encode()[:position].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")
