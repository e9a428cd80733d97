"""A decoder of protobuf's wire format that knows no schema: fields by number, as they come."""

from __future__ import annotations

from collections.abc import Iterator

Field = int | bytes


def fields(data: bytes) -> dict[int, list[Field]]:
    """Values by field number, in order; what is length-delimited stays bytes."""
    found: dict[int, list[Field]] = {}
    for number, value in _pairs(data):
        found.setdefault(number, []).append(value)
    return found


def sub(data: bytes, *path: int) -> bytes:
    """The length-delimited field at the end of the path; it must be there once at each step."""
    for number in path:
        (value,) = fields(data)[number]
        assert isinstance(value, bytes)
        data = value
    return data


def number(data: bytes, *path: int) -> int:
    *parents, last = path
    (value,) = fields(sub(data, *parents))[last]
    assert isinstance(value, int)
    return value


def entries(data: bytes, number: int) -> dict[str, bytes]:
    """A map with text keys."""
    maps = [fields(value) for value in fields(data).get(number, []) if isinstance(value, bytes)]
    return {_bytes(each[1][0]).decode(): _bytes(each[2][0]) if 2 in each else b"" for each in maps}


def _bytes(value: Field) -> bytes:
    assert isinstance(value, bytes)
    return value


def _pairs(data: bytes) -> Iterator[tuple[int, Field]]:
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 1:
                yield tag >> 3, data[at : at + 8]
                at += 8
            case 2:
                size, at = _varint(data, at)
                assert at + size <= len(data)
                yield tag >> 3, data[at : at + size]
                at += size
            case 5:
                yield tag >> 3, data[at : at + 4]
                at += 4
            case kind:
                raise AssertionError(f"wire type {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
