"""Specs as messages of kumacp.kds.wire, and back: what json_format does, at a fraction of its cost.

Global reads and writes what ten thousand proxies are, and an ingress tells of thousands of services at once.
So what a type of message needs is worked out once; the rest is done by constructors of messages, which take
dictionaries.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from datetime import UTC
from functools import cache
from types import MappingProxyType
from typing import Any as Json

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.struct_pb2 import Struct

from kumamesh.durations import parse_duration
from kumamesh.resources.base import parse_time

_Change = Callable[[Json], Json]

_EXACT = 2**53
"""A float has every whole number up to here."""
_NANOS = 1e9
_GOOGLE = "google.protobuf."
_WRAPPED = ("Bool", "Double", "String", "UInt32")
"""What the wrappers hold that JSON has, too."""
_64_BITS = (FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64)


class Unfit(ValueError):
    """JSON that a message has no room for: the path of the field, and why."""


def to_message(body: Mapping[str, Json], type_: type[Message]) -> Message:
    """The JSON of a spec as a message; raises Unfit, or ValueError for a time or a duration that is none."""
    change = _writer(type_.DESCRIPTOR)
    values = change(body) if change else body
    try:
        return type_(**values)
    except (TypeError, ValueError) as error:
        path = ".".join(_misfit(values, type_))
        raise Unfit(f"{path}: {error}") from None


def to_body(message: Message) -> dict[str, Json]:
    """A message as the model of the spec takes it: moments are datetimes, bytes are bytes. Raises ValueError,
    OverflowError or json_format.Error when it says what no spec can."""
    body: dict[str, Json] = _reader(message.DESCRIPTOR)(message)
    return body


def _seconds(text: str) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(parse_duration(text) * _NANOS))
    return duration


def _struct(body: dict[str, Json]) -> Struct:
    return json_format.ParseDict(body, Struct())


def _wrapped(value: Json) -> Mapping[str, Json]:
    return {"value": value}


def _wrapped_bytes(text: str) -> Mapping[str, Json]:
    return {"value": base64.b64decode(text)}


def _value(wrapper: Json) -> Json:
    return wrapper.value


_WRITERS: Mapping[str, _Change] = MappingProxyType(
    {
        f"{_GOOGLE}Timestamp": parse_time,
        f"{_GOOGLE}Duration": _seconds,
        f"{_GOOGLE}Struct": _struct,
        f"{_GOOGLE}BytesValue": _wrapped_bytes,
        **dict.fromkeys((f"{_GOOGLE}{kind}Value" for kind in _WRAPPED), _wrapped),
    }
)
"""By message, where the JSON is no object with its fields."""


@cache
def _writer(message: Descriptor) -> _Change | None:
    """Makes of JSON what the constructor of the message takes; None where that is the same."""
    if (known := _WRITERS.get(message.full_name)) is not None:
        return known
    changes = {field.json_name: (field.name, _field_writer(field)) for field in message.fields}
    if all(json_name == name and change is None for json_name, (name, change) in changes.items()):
        return None

    def write(body: Mapping[str, Json]) -> Mapping[str, Json]:
        values = {}
        for json_name, value in body.items():
            name, change = changes.get(json_name, (json_name, None))
            values[name] = value if change is None else change(value)
        return values

    return write


def _field_writer(field: FieldDescriptor) -> _Change | None:
    if field.message_type is None:
        return int if field.cpp_type in _64_BITS else None
    is_map = field.message_type.GetOptions().map_entry
    below = field.message_type.fields_by_name["value"].message_type if is_map else field.message_type
    change = _writer(below) if below is not None else None
    if change is None or not field.is_repeated:
        return change
    return _in_map(change) if is_map else _in_list(change)


@cache
def _reader(message: Descriptor) -> _Change:
    """Makes JSON of a message."""
    if (known := _READERS.get(message.full_name)) is not None:
        return known
    readers = {field.number: (field.json_name, _field_reader(field)) for field in message.fields}

    def read(value: Message) -> Mapping[str, Json]:
        body = {}
        for field, held in value.ListFields():
            json_name, change = readers[field.number]
            body[json_name] = held if change is None else change(held)
        return body

    return read


def _field_reader(field: FieldDescriptor) -> _Change | None:
    if field.enum_type is not None:
        labels = {value.number: value.name for value in field.enum_type.values}
        return lambda number: labels.get(number, number)
    if field.message_type is None:
        return list if field.is_repeated else None
    if not field.message_type.GetOptions().map_entry:
        change = _reader(field.message_type)
        return _in_list(change) if field.is_repeated else change
    below = field.message_type.fields_by_name["value"].message_type
    return dict if below is None else _in_map(_reader(below))


def _in_list(change: _Change) -> _Change:
    return lambda items: [change(item) for item in items]


def _in_map(change: _Change) -> _Change:
    return lambda items: {key: change(item) for key, item in items.items()}


def _read_struct(struct: Struct) -> Json:
    return _whole_numbers(json_format.MessageToDict(struct))


def _whole_numbers(value: Json) -> Json:
    """Numbers of a Struct are floats: those that were whole are made whole again."""
    if isinstance(value, dict):
        return {key: _whole_numbers(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(item) for item in value]
    is_whole = isinstance(value, float) and abs(value) <= _EXACT and value.is_integer()
    return int(value) if is_whole else value


_READERS: Mapping[str, _Change] = MappingProxyType(
    {
        f"{_GOOGLE}Timestamp": lambda timestamp: timestamp.ToDatetime(UTC),
        f"{_GOOGLE}Duration": Duration.ToJsonString,
        f"{_GOOGLE}Struct": _read_struct,
        **dict.fromkeys((f"{_GOOGLE}{kind}Value" for kind in ("Bytes", *_WRAPPED)), _value),
    }
)


def _misfit(values: Mapping[str, Json], type_: type[Message]) -> list[str]:
    """The path to the first value that the constructor does not take."""
    fields = type_.DESCRIPTOR.fields_by_name
    for name, value in values.items():
        try:
            type_(**{name: value})
        except (TypeError, ValueError):
            field: Json = fields.get(name)
            if field is None:
                return [name]
            below = field.message_type
            if below is None or below.GetOptions().map_entry:
                return [field.json_name]
            items = value if isinstance(value, list) else [value]
            paths = (_misfit(item, GetMessageClass(below)) for item in items if isinstance(item, dict))
            return [field.json_name, *next(filter(None, paths), [])]
    return []
