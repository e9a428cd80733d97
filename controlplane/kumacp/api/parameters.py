"""Query parameters: which a path takes, and what is wrong with those that came (contract 9.2)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kumacp.api.problem import BAD_REQUEST, Problem
from kumamesh.settings import suggestion

MAX_PARAMETERS = 64
"""Of one request; filters by labels and tags included."""

_OPEN_END = "[labels."
Query = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter. A name that ends in `[labels.` stands for all `name[labels.<key>]`."""

    name: str
    help: str
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    repeatable: bool = False

    @property
    def shown(self) -> str:
        """The name as people write it."""
        return f"{self.name}<key>]" if self.name.endswith(_OPEN_END) else self.name

    def covers(self, name: str) -> bool:
        if self.name.endswith(_OPEN_END):
            return name.startswith(self.name) and name.endswith("]") and len(name) > len(self.name) + 1
        return name == self.name


PAGE = (
    Parameter(
        "size",
        "How many items to show, at most 1000 (default 100)",
        {"type": "integer", "minimum": 1, "maximum": 1000},
    ),
    Parameter("offset", "From which item on, as in `next`", {"type": "integer", "minimum": 0}),
)
NAME = Parameter("name", "Only items with this text in their names")
LABELS = Parameter("filter[labels.", "Only items whose label `<key>` has this value")
DATAPLANES = (
    Parameter(
        "tag",
        "Only proxies with an inbound or gateway that has all these tags, each as `key:value`",
        repeatable=True,
    ),
    Parameter(
        "gateway",
        "Only gateways, only others, or only gateways of one kind",
        {"type": "string", "enum": ["true", "false", "builtin", "delegated"]},
    ),
    Parameter("ingress", "Has no effect; old clients send it"),
)
FORMAT = (
    Parameter(
        "format",
        "The shape of the answer (default universal)",
        {"type": "string", "enum": ["universal", "kubernetes", "k8s"]},
    ),
    Parameter("namespace", "The namespace to show with format kubernetes (default kuma-system)"),
)
SERVICE_TYPE = Parameter(
    "type",
    "Only services of this kind",
    {"type": "string", "enum": ["internal", "external", "gateway_delegated", "gateway_builtin"]},
)

_ASPECTS: Mapping[str, tuple[Parameter, ...]] = {
    "xds": (Parameter("include_eds", "Show endpoints, too", {"type": "boolean"}),),
    "stats": (
        Parameter("usedonly", "Only statistics that were written (default true)", {"type": "boolean"}),
        Parameter("format", "The shape of the answer", {"type": "string", "enum": ["json", "text"]}),
        Parameter("filter", "Only statistics whose names match this regular expression (RE2)"),
    ),
    "clusters": (
        Parameter("format", "The shape of the answer", {"type": "string", "enum": ["json", "text"]}),
    ),
    "_config": (
        Parameter("shadow", "As if policies with the effect shadow were real", {"type": "boolean"}),
        Parameter("include", "Show what shadow policies would change", {"type": "string", "enum": ["diff"]}),
    ),
    "dataplanes": (*PAGE, NAME),
    "_resources/dataplanes": (*PAGE, NAME),
    "-resources/dataplanes": (*PAGE, NAME),
}


def of_aspect(aspect: str) -> tuple[Parameter, ...]:
    """Parameters of a path below an item."""
    return _ASPECTS.get(aspect, ())


def check(query: Query, known: Iterable[Parameter]) -> None:
    """Raise Problem 400 for a parameter that the path does not take, or that came too often."""
    if len(query) > MAX_PARAMETERS:
        raise _problem(f"there are {len(query)} query parameters; at most {MAX_PARAMETERS} are possible")
    parameters = tuple(known)
    counts = Counter(name for name, _ in query)
    for name, count in counts.items():
        parameter = next((each for each in parameters if each.covers(name)), None)
        if parameter is None:
            raise _problem(f'unknown query parameter "{_short(name)}"{_hint(name, parameters)}')
        if count > 1 and not parameter.repeatable:
            raise _problem(f'the query parameter "{_short(name)}" is given {count} times; give it once')
    for name, value in query:
        _check_text(name, value)


def _check_text(name: str, value: str) -> None:
    if any(ord(char) < 32 or 0xD800 <= ord(char) <= 0xDFFF for char in name + value):
        raise _problem(f"the query parameter {_short(name)!a} has characters that no text has")


def _hint(name: str, known: Sequence[Parameter]) -> str:
    if not known:
        return "; this path takes none"
    names = [parameter.shown for parameter in known]
    return suggestion(name, names) or f"; known here are {', '.join(names)}"


def _short(name: str) -> str:
    return name if name.isprintable() and len(name) <= 60 else ascii(name[:60])


def _problem(detail: str) -> Problem:
    return Problem(400, BAD_REQUEST, detail)
