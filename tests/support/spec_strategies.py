"""Any spec of any type, for hypothesis: every field of the model, with values that the wire can carry."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from functools import cache
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from kumamesh.resources.base import (
    Base64,
    Counter,
    Counts,
    Duration,
    Flag,
    FrozenMap,
    Number,
    Spec,
    Struct,
    Tags,
    Time,
    WholeNumber,
    freeze,
)
from kumamesh.resources.conf import DataSource
from kumamesh.resources.dataplane import Outbound

Strategy = st.SearchStrategy[Any]

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
NUMBERS = st.integers(0, 2**32 - 1)
TIMES = st.datetimes(timezones=st.just(UTC))
FRACTIONS = st.floats(allow_nan=False, allow_infinity=False).filter(lambda value: not value.is_integer())
JSON = st.recursive(
    st.booleans() | TEXT | st.integers(-(2**53), 2**53) | FRACTIONS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)
_LEAVES: tuple[tuple[Any, Strategy], ...] = (
    (Base64, st.binary(max_size=8)),
    (Counter, st.integers(0, 2**64 - 1)),
    (Counts, st.dictionaries(TEXT, NUMBERS, max_size=2).map(FrozenMap)),
    (Duration, st.sampled_from(["0s", "10s", "0.500s", "86400s", "0.000000001s"])),
    (Flag, st.booleans()),
    (Number, st.floats(allow_nan=False, allow_infinity=False)),
    (Struct, st.dictionaries(TEXT, JSON, max_size=2).map(freeze)),
    (Tags, st.dictionaries(TEXT, TEXT, max_size=2).map(FrozenMap)),
    (Time, TIMES),
    (WholeNumber, NUMBERS),
    (str, TEXT),
)


@cache
def specs(model: type[Spec]) -> Strategy:
    """Instances of the model; the rules of its type are not looked at."""
    if model is DataSource:
        return _data_sources()
    hints = get_type_hints(model, include_extras=True)
    fields = {name: _values(hints[name]) for name in model.model_fields}
    if model is Outbound:
        fields["address"] = TEXT.filter(bool)  # absent means the address of the default
    return st.fixed_dictionaries({}, optional=fields).map(lambda values: model(**values))


def _data_sources() -> Strategy:
    """One field at most: to the wire they are alternatives."""
    return st.one_of(
        st.just(DataSource()),
        st.builds(lambda text: DataSource(secret=text), TEXT),
        st.builds(lambda text: DataSource(file=text), TEXT),
        st.builds(lambda data: DataSource(inline=data), st.binary(max_size=8)),
        st.builds(lambda text: DataSource(inline_string=text), TEXT),
    )


def _values(hint: Any) -> Strategy:
    for leaf, strategy in _LEAVES:
        if hint == leaf:
            return strategy
    if isinstance(hint, type) and issubclass(hint, Spec):
        return specs(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(_values(arguments[0]), max_size=2).map(tuple)
    if origin is Annotated:
        return _values(arguments[0])
    if origin is Mapping:
        return st.dictionaries(TEXT, _values(arguments[1]), max_size=2).map(FrozenMap)
    return st.one_of(*(st.none() if each is NoneType else _values(each) for each in arguments))
