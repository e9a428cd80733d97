"""What the models of all resources share: frozen, strict about names, exact about JSON types.

Fields have the names of Kuma's JSON in snake case. A field that is absent has protobuf's zero value, unless
its type says None. What equals its default is left out when written.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from sys import intern
from typing import Annotated, Any, LiteralString, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from kumamesh.durations import parse_duration

V = TypeVar("V")

_DECIMAL = re.compile(r"-?[0-9]{1,20}")


class FrozenMap(dict[str, V]):
    """A dictionary that is never changed after it was made, and so can be part of a hashable model."""

    def __hash__(self) -> int:  # type: ignore[override]  # dict declares it None
        return hash(frozenset(self.items()))


def freeze(value: Any) -> Any:
    """The JSON value with every object hashable, without its nulls, and every array a tuple."""
    if isinstance(value, dict):
        return FrozenMap({key: freeze(item) for key, item in value.items() if item is not None})
    if isinstance(value, list | tuple):
        return tuple(freeze(item) for item in value)
    return value


def _interned(value: dict[str, str]) -> FrozenMap[str]:
    """Ten thousand proxies have the same few tags: copies of their texts would be much of what they take."""
    return FrozenMap({intern(key): intern(item) for key, item in value.items()})


class FrozenSchema:
    """Has pydantic check a mapping as a dictionary of `value`, and hand out what `freeze` makes of it."""

    def __init__(self, value: Any, freeze: Callable[[dict[str, Any]], Any] = FrozenMap) -> None:
        self._value = value
        self._freeze = freeze

    def __get_pydantic_core_schema__(self, _: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        inner = core_schema.dict_schema(handler.generate_schema(str), handler.generate_schema(self._value))
        return core_schema.no_info_after_validator_function(self._freeze, inner)


def _wrong(text: LiteralString) -> PydanticCustomError:
    """An error whose message is already the text for the user."""
    return PydanticCustomError("wire_type", text)


def _whole_number(value: Any) -> int:
    is_text = isinstance(value, str) and _DECIMAL.fullmatch(value) is not None
    is_round = isinstance(value, float) and value.is_integer()
    number = int(value) if is_text or is_round else value
    if type(number) is not int:
        raise _wrong("must be a whole number")
    if not 0 <= number < 2**64:
        raise _wrong("must not be negative" if number < 0 else "is too large")
    return number


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _wrong("must be a number")
    return float(value)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise _wrong("must be true or false")


def _duration(value: Any) -> str:
    try:
        parse_duration(value)
    except (ValueError, AttributeError):
        raise _wrong("must be a duration: a number and a unit, such as 500ms, 10s or 24h") from None
    return str(value)


def _base64(value: Any) -> bytes:
    """Both alphabets of base64, as protobuf's JSON allows; never repeats the input, which may be a secret."""
    if isinstance(value, bytes):
        return value
    try:
        return base64.b64decode(value.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError, AttributeError):
        raise _wrong("must be base64 text") from None


def _utc(value: datetime) -> datetime:
    return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


def parse_time(value: Any) -> datetime:
    """RFC 3339 with up to nine digits of a second; raises ValueError."""
    if isinstance(value, datetime):
        return _utc(value)
    if not isinstance(value, str) or len(value) < 20:
        raise ValueError("must be an RFC 3339 time")
    try:
        return _utc(datetime.fromisoformat(value))
    except OverflowError:  # in the time zone of the text it is in year 1 to 9999, in UTC it is not
        raise ValueError("must be an RFC 3339 time") from None


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC with `Z`, without a fraction if there is none."""
    return _utc(value).isoformat().replace("+00:00", "Z")


def _time(value: Any) -> datetime:
    try:
        return parse_time(value)
    except ValueError:
        raise _wrong("must be an RFC 3339 time") from None


WholeNumber = Annotated[
    int, BeforeValidator(_whole_number), WithJsonSchema({"type": "integer", "minimum": 0})
]
"""uint32 of the wire; ranges are rules."""
Counter = Annotated[
    int,
    BeforeValidator(_whole_number),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "pattern": "^[0-9]+$"}),
]
"""uint64 of the wire: a string in JSON, read as a number too."""
Number = Annotated[float, BeforeValidator(_number)]
Flag = Annotated[bool, BeforeValidator(_boolean)]
Duration = Annotated[
    str, BeforeValidator(_duration), WithJsonSchema({"type": "string", "examples": ["500ms", "10s", "24h"]})
]
"""The text as given; `kumamesh.durations.parse_duration` gives seconds."""
Time = Annotated[
    datetime,
    BeforeValidator(_time),
    PlainSerializer(format_time, when_used="json"),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
Base64 = Annotated[
    bytes,
    BeforeValidator(_base64),
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
    Field(repr=False),
    WithJsonSchema({"type": "string", "contentEncoding": "base64"}),
]
Tags = Annotated[Mapping[str, str], FrozenSchema(str, _interned)]
Counts = Annotated[Mapping[str, int], FrozenSchema(WholeNumber)]
Struct = Annotated[Mapping[str, Any], FrozenSchema(Any, freeze)]
"""protobuf's Struct: any JSON object, deeply frozen."""

EMPTY: Mapping[str, Any] = FrozenMap()

_given: dict[frozenset[str], set[str]] = {}


class Spec(BaseModel):
    """Base of every message of a resource."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        hide_input_in_errors=True,
        protected_namespaces=(),
    )

    def model_post_init(self, _: Any) -> None:
        """Pydantic remembers which fields were given, by a set for each model: that would be two fifths of
        the memory of a resource. Models with the same fields share one; it changes as little as they do."""
        given = self.__pydantic_fields_set__
        object.__setattr__(self, "__pydantic_fields_set__", _given.setdefault(frozenset(given), given))
