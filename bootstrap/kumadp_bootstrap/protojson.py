"""Walks through protobuf's JSON form without a schema: both spellings of a field, errors that name the path.

Works on the document itself, so that what is not touched stays as it came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kumamesh.errors import UserError

Message = dict[str, Any]


def key_of(message: Message, field: str) -> str | None:
    """The spelling that the message uses for the field (snake_case), None when it is absent."""
    if field in message:
        return field
    head, *rest = field.split("_")
    camel = head + "".join(part.capitalize() for part in rest)
    return camel if camel in message else None


def get(message: Message, field: str) -> Any:
    """The value of the field, None when it is absent."""
    key = key_of(message, field)
    return None if key is None else message[key]


def put(message: Message, field: str, value: Any) -> None:
    """Set the field in the spelling that the message uses."""
    message[key_of(message, field) or field] = value


def drop(message: Message, field: str) -> None:
    key = key_of(message, field)
    if key is not None:
        del message[key]


def message(parent: Message, field: str) -> Message:
    """The field as a message; an absent one is empty and not part of the document."""
    value = get(parent, field)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UserError(f"the bootstrap's {field} is not an object")
    return value


def messages(parent: Message, field: str) -> list[Message]:
    """The field as a list of messages; an absent one is empty and not part of the document."""
    value = get(parent, field)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise UserError(f"the bootstrap's {field} is not a list of objects")
    return value


def text(parent: Message, field: str) -> str:
    """The field as a string; "" when it is absent."""
    value = get(parent, field)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UserError(f"the bootstrap's {field} is not a string")
    return value


def strings(value: Any) -> Iterator[str]:
    """Every string value under `value`; keys are not values."""
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list):
            stack.extend(item)
