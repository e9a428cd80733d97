"""Inputs that are almost right: bytes, JSON, protobuf and tokens, changed at random where it may hurt.

Everything random comes from the `Random` that is given, so that an input can be made again from its seed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

Mutation = Callable[[bytes, Random], bytes]

MAX_BYTES = 65_536
"""Longer inputs are cut: size has tests of its own, here it would only eat time."""

_BYTES = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\r\n",
    b"\n",
    b" ",
    b'"',
    b"'",
    b"\\",
    b"%",
    b"{{",
    b"}}",
    b"&a",
)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 65_535, 65_536, 2**31, 2**32, 2**53 + 1, 2**63, 2**64, 10**400, -(10**400),
    0.5, -0.0, 1e308, math.nan, math.inf, "", " ", "\x00", "\ud800", "\U0001f600", "a\nb", "x" * 300, "..",
    "../..", "*", "%s", "{{ x }}", "0", "1s", "-1s", "292y", "٣s", "127.0.0.1", "::1", "0.0.0.0",
    "fe80::1%lo", "localhost", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
    "2026-01-01T00:00:00Z", "aGk=", "====", "_w==", [], {}, [[]], [None], {"": ""}, {"a": None},
)  # fmt: skip


def bytes_mutation(*tokens: bytes) -> Mutation:
    """Flips, cuts, repeats, and puts in tokens and known troublemakers."""
    inserts = (*tokens, *_BYTES)

    def mutate(data: bytes, random: Random) -> bytes:
        at = random.randrange(len(data) + 1)
        end = min(len(data), at + random.choice((1, 1, 2, 4, 16, 64, 512)))
        match random.randrange(7):
            case 0 if data:
                at = random.randrange(len(data))
                return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]
            case 1:
                return data[:at] + bytes([random.randrange(256)]) + data[at + 1 :]
            case 2:
                return data[:at] + data[end:]
            case 3:
                return data[:at] + data[at:end] * random.choice((2, 3, 50)) + data[end:]
            case 4:
                return data[:at]
            case 5:
                source = random.randrange(len(data) + 1)
                return data[:at] + data[source : source + 32] + data[at:]
        return data[:at] + random.choice(inserts) * random.choice((1, 1, 1, 2, 40)) + data[end:]

    return mutate


def json_mutation(*words: str) -> Mutation:
    """Changes one place in a JSON text: another value or key, gone, doubled, wrapped, moved. `words` are
    names and texts that mean something to the reader."""

    def mutate(data: bytes, random: Random) -> bytes:
        try:
            document = json.loads(data)
        except (ValueError, RecursionError):
            return bytes_mutation()(data, random)
        return json.dumps(change(document, random, words)).encode()

    return mutate


def change(document: Any, random: Random, words: Sequence[str] = ()) -> Any:
    """The JSON value with one place changed."""
    places = list(_places(document))
    if not places:
        return _value(random, words)
    holder, key = random.choice(places)
    match random.randrange(8):
        case 0 if isinstance(holder, dict):
            holder[random.choice(words) if words else ""] = holder[key]
        case 1:
            del holder[key]
        case 2 if isinstance(holder, list):
            holder.extend([holder[key]] * random.choice((1, 2, 100)))
        case 3:
            holder[key] = random.choice(([holder[key]], {"a": holder[key]}, _deep(holder[key], random)))
        case 4:
            holder[key] = random.choice(places)[0]
            document = json.loads(_dumps(document))
        case 5 if isinstance(holder[key], str) and holder[key]:
            holder[key] = bytes_mutation()(holder[key].encode("utf-8", "replace"), random).decode(
                "utf-8", "replace"
            )
        case _:
            holder[key] = _value(random, words)
    return document


def _value(random: Random, words: Sequence[str]) -> Any:
    chosen = random.choice(words) if words and random.random() < 0.3 else random.choice(_VALUES)
    return json.loads(json.dumps(chosen)) if isinstance(chosen, list | dict) else chosen


def _deep(value: Any, random: Random) -> Any:
    for _ in range(random.choice((2, 10, 63, 64, 70, 300))):
        value = [value]
    return value


def _places(value: Any, depth: int = 0) -> Any:
    """(container, key) of everything in the value; what lies deeper than 40 stays as it is."""
    if depth > 40 or not isinstance(value, dict | list):
        return
    for key in value if isinstance(value, dict) else range(len(value)):
        yield value, key
        yield from _places(value[key], depth + 1)


def _dumps(value: Any) -> str:
    """The text of a value that was put into itself, perhaps."""
    try:
        return json.dumps(value)
    except (ValueError, RecursionError):
        return "{}"


def protobuf_mutation(*words: bytes) -> Mutation:
    """Changes one field of a message, at any depth, and leaves the lengths around it right."""

    def mutate(data: bytes, random: Random) -> bytes:
        fields = _fields(data)
        if not fields:
            return bytes_mutation(*words)(data, random)
        at = random.randrange(len(fields))
        number, wire, value = fields[at]
        match random.randrange(6):
            case 0:
                del fields[at]
            case 1:
                fields.extend([fields[at]] * random.choice((1, 2, 100)))
            case 2:
                fields[at] = (random.choice((1, 2, 3, 4, 5, 6, 7, 100, 2**28)), wire, value)
            case 3 | 4 if wire == 2:
                changed = mutate(value, random) if _fields(value) else bytes_mutation(*words)(value, random)
                fields[at] = (number, wire, changed)
            case _:
                fields[at] = (number, wire, _scalar(wire, random, words))
        return b"".join(_field(*field) for field in fields)

    return mutate


def _scalar(wire: int, random: Random, words: Sequence[bytes]) -> bytes:
    if wire == 0:
        return _varint(random.choice((0, 1, 2**31, 2**63, 2**64 - 1)))
    if wire == 2:
        return random.choice((*words, b"", b"\xff", b"*", b"a" * 300))
    return bytes(random.randrange(256) for _ in range(8 if wire == 1 else 4))


def _fields(data: bytes) -> list[tuple[int, int, bytes]]:
    """Number, wire type and content of every field; empty when the bytes are no message."""
    fields, at = [], 0
    try:
        while at < len(data):
            head, at = _read_varint(data, at)
            wire = head & 7
            if wire == 0:
                start = at
                _, at = _read_varint(data, at)
                content = data[start:at]
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
                content, at = data[at : at + size], at + size
            elif wire == 2:
                size, at = _read_varint(data, at)
                content, at = data[at : at + size], at + size
            else:
                return []
            if at > len(data) or not head >> 3:
                return []
            fields.append((head >> 3, wire, content))
    except IndexError:
        return []
    return fields


def _field(number: int, wire: int, content: bytes) -> bytes:
    head = _varint(number << 3 | wire)
    return head + (_varint(len(content)) if wire == 2 else b"") + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80 or shift > 63:
            return value, at
