"""From JSON to a model, with everything that is wrong told in Kuma's way: path and text."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, TypeVar, get_args, get_origin

from pydantic import AliasChoices, ValidationError
from pydantic_core import ErrorDetails

from kumamesh.resource import Violation
from kumamesh.resources.base import Spec

S = TypeVar("S", bound=Spec)
Location = tuple[int | str, ...]

MAX_DEPTH = 64
"""Levels of nesting; the deepest resource has 10."""
_REPAIR_ROUNDS = 4

_TEXTS = {
    "string_type": "must be a string",
    "tuple_type": "must be a list",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
}


@dataclass(frozen=True, slots=True)
class Parsed(Generic[S]):
    """The model of all that could be understood, None if nothing could, and what could not."""

    spec: S | None
    violations: tuple[Violation, ...]


def parse(model: type[S], data: Mapping[str, Any]) -> Parsed[S]:
    """Check JSON against the types of the model. Fields of the wrong type are left out of the model, so that
    rules can be checked on the rest and all is told at once."""
    broken: list[Violation] = []
    body = _clean(dict(data), (), model, broken)
    try:
        return Parsed(model.model_validate(body, by_alias=True, by_name=False), tuple(broken))
    except ValidationError as error:
        details = error.errors(include_url=False)
    broken.extend(_violation(model, detail) for detail in details)
    for _ in range(_REPAIR_ROUNDS):
        for detail in details:
            _remove(body, detail["loc"])
        try:
            return Parsed(model.model_validate(body, by_alias=True, by_name=False), tuple(broken))
        except ValidationError as error:
            details = error.errors(include_url=False)
    return Parsed(None, tuple(broken))


def check(model: type[S], data: Mapping[str, Any], rules: Callable[[S], Iterable[Violation]]) -> Parsed[S]:
    """Check JSON against the types of the model, and what is left of it against the rules."""
    parsed = parse(model, data)
    if parsed.spec is None:
        return parsed
    found = _without_echoes(rules(parsed.spec), parsed.violations)
    return Parsed(parsed.spec, (*parsed.violations, *found))


def _without_echoes(violations: Iterable[Violation], types: Sequence[Violation]) -> list[Violation]:
    """Violations of rules, without those that only follow from a field that was left out for its type."""
    fields = {violation.field for violation in types}
    parents = {field.rpartition(".")[0] for field in fields if not field.endswith('"]')}
    return [
        violation
        for violation in violations
        if violation.field not in parents and fields.isdisjoint(_and_ancestors(violation.field))
    ]


def _and_ancestors(field: str) -> Iterator[str]:
    """The path, and those of all that it lies in."""
    yield field
    for at, sign in enumerate(field):
        if sign in ".[":
            yield field[:at]


def _clean(value: Any, location: Location, model: type[Spec], broken: list[Violation]) -> Any:
    """A copy without nulls, which mean absent; what JSON cannot express is told and left out."""
    if len(location) > MAX_DEPTH:
        broken.append(Violation(_path(model, location[:MAX_DEPTH]), "is nested too deeply"))
        return None
    if isinstance(value, dict):
        copy: dict[str, Any] = {}
        for key, item in value.items():
            if not isinstance(key, str):
                text = f"the key {key!r} must be a string; put it in quotes"
                broken.append(Violation(_path(model, location), text))
                continue
            cleaned = item if isinstance(item, str) else _clean(item, (*location, key), model, broken)
            if cleaned is not None:
                copy[key] = cleaned
        return copy
    if isinstance(value, list | tuple):
        return [_clean(item, (*location, index), model, broken) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        broken.append(Violation(_path(model, location), "must be a finite number"))
        return None
    return value


def _violation(model: type[Spec], detail: ErrorDetails) -> Violation:
    location, kind = detail["loc"], detail["type"]
    path = _path(model, location)
    if kind == "extra_forbidden":
        text = _unknown_field(str(location[-1]), _fields_at(model, location[:-1]))
        return Violation(path, text, unknown=True)
    if kind == "literal_error":
        expected = detail["ctx"]["expected"].replace("'", '"')
        return Violation(path, f"must be one of {expected}")
    text = _TEXTS.get(kind, detail["msg"])
    if kind == "string_type" and isinstance(detail["input"], bool | int | float):
        text += "; put it in quotes"
    return Violation(path, text)


def _unknown_field(name: str, known: Iterable[str]) -> str:
    by_folded = {field.lower().replace("_", ""): field for field in known}
    close = difflib.get_close_matches(name.lower().replace("_", ""), by_folded, n=1, cutoff=0.5)
    if close:
        return f'unknown field; did you mean "{by_folded[close[0]]}"?'
    if not by_folded:
        return "unknown field; there are none here"
    return "unknown field; known here: " + ", ".join(sorted(by_folded.values()))


def is_field(model: type[Spec], name: object) -> bool:
    """Whether the model has a field of that name in JSON."""
    return name in _children(model)


def unknown_field(model: type[Spec], name: str, *others: str) -> str:
    """The text for a field that neither the model nor `others` has."""
    return _unknown_field(name, (*_children(model), *others))


def _remove(body: Any, location: Location) -> None:
    """Take the value at the location away; in a list, put an empty one there, so that the others keep their
    places."""
    *parents, last = location
    for part in parents:
        body = body[part]
    if isinstance(body, list) and isinstance(last, int):
        body[last] = "" if body[last] == {} else {}
    else:
        body.pop(last, None)


def _path(model: type[Spec], location: Location) -> str:
    """`networking.inbound[0].tags["kuma.io/service"]`"""
    path, here = "", _Node(model, is_map=False)
    for part in location:
        if isinstance(part, int):
            path += f"[{part}]"
            continue
        path += f'["{part}"]' if here.is_map else f".{part}" if path else part
        here = here.child(part)
    return path


def _fields_at(model: type[Spec], location: Location) -> Iterable[str]:
    here = _Node(model, is_map=False)
    for part in location:
        if isinstance(part, str):
            here = here.child(part)
    return _children(here.model) if here.model else ()


@dataclass(frozen=True, slots=True)
class _Node:
    """A place in a document: the model that describes it, or that describes the values of the map there."""

    model: type[Spec] | None
    is_map: bool

    def child(self, name: str) -> _Node:
        if self.is_map:
            return _Node(self.model, is_map=False)
        return _children(self.model).get(name, _UNKNOWN) if self.model else _UNKNOWN


_UNKNOWN = _Node(None, is_map=False)


@cache
def _children(model: type[Spec]) -> dict[str, _Node]:
    """Places below a model by their names in JSON."""
    children = {}
    for field in model.model_fields.values():
        alias = field.validation_alias
        names = alias.choices if isinstance(alias, AliasChoices) else [alias]
        children.update({str(name): _node(field.annotation) for name in names})
    return children


def _node(annotation: Any) -> _Node:
    if isinstance(annotation, type) and issubclass(annotation, Spec):
        return _Node(annotation, is_map=False)
    is_map = get_origin(annotation) is not None and get_origin(annotation) is Mapping
    nodes = [_node(argument) for argument in get_args(annotation)]
    model = next((node.model for node in nodes if node.model), None)
    return _Node(model, is_map=is_map or any(node.is_map for node in nodes))
