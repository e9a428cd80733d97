"""What the agent and the worker say to each other: one frame in one message of a Unix SOCK_SEQPACKET pair.

Descriptors travel beside the frame that needs them. The agent ends the talk, and the worker, by closing.
While there is no worker, the one that workers are forked from is listening.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields
from typing import Any

MAX_FRAME_BYTES = 16_384
MAX_DESCRIPTORS = 64
"""Beside one frame."""

_LENGTH_BYTES = 2


@dataclass(frozen=True, slots=True)
class Start:
    """Agent to the process that forks workers: make one. Descriptors: UDP and listening TCP sockets in any
    order and, when `serial` is not 0, last of all the table to begin with."""

    resolv_conf: str
    upstream_port: int
    """Of the servers in resolv.conf."""
    batched: bool
    """Use recvmmsg and sendmmsg where the system has them."""
    tcp_limit: int
    tcp_idle_s: float
    serial: int = 0
    taken_at: float = 0.0


@dataclass(frozen=True, slots=True)
class NewTable:
    """Agent to worker; descriptor: the dumped table. Serials grow."""

    serial: int
    taken_at: float
    """When the agent was given the names, in monotonic seconds."""


@dataclass(frozen=True, slots=True)
class Serving:
    """Worker to agent: queries are answered from now on."""

    pid: int


@dataclass(frozen=True, slots=True)
class Ended:
    """From the process that forks workers: there is none now."""

    code: int
    """Exit code; negative: the signal."""


@dataclass(frozen=True, slots=True)
class Applied:
    """Worker to agent: answers come from this table, and from no older one."""

    serial: int


@dataclass(frozen=True, slots=True)
class Unusable:
    """Worker to agent: the table cannot be loaded; the one before stays."""

    serial: int
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """Worker to agent: its figures, as `figures.encode` writes them."""

    figures: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """Worker to agent: something for the log, at the level info or warning."""

    level: str
    text: str


Frame = Start | NewTable | Serving | Ended | Applied | Unusable | Told | Line
_FRAMES: dict[int, type[Frame]] = {
    ord("S"): Start,
    ord("N"): NewTable,
    ord("R"): Serving,
    ord("E"): Ended,
    ord("A"): Applied,
    ord("U"): Unusable,
    ord("F"): Told,
    ord("W"): Line,
}
_KINDS = {frame: kind for kind, frame in _FRAMES.items()}


def encode(frame: Frame) -> bytes:
    """One byte for the kind, then each field as its length and its text. Raises ValueError when that is too
    long for a frame."""
    parts = [bytes((_KINDS[type(frame)],))]
    for value in astuple(frame):
        data = value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogateescape")
        if len(data) >= MAX_FRAME_BYTES:
            raise ValueError(f"{len(data)} bytes are too many for a frame")
        parts += (len(data).to_bytes(_LENGTH_BYTES, "big"), data)
    encoded = b"".join(parts)
    if len(encoded) > MAX_FRAME_BYTES:
        raise ValueError(f"{len(encoded)} bytes are too many for a frame")
    return encoded


def decode(data: bytes) -> Frame:
    """Raises ValueError for what `encode` does not write."""
    kind = _FRAMES.get(data[0]) if data else None
    if kind is None or len(data) > MAX_FRAME_BYTES:
        raise ValueError("no frame")
    values: list[Any] = []
    at = 1
    for field in fields(kind):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "big")
        if at > len(data) or start > len(data):
            raise ValueError(f"a {kind.__name__} frame is cut off")
        values.append(_value(str(field.type), data[start:at]))
    if at != len(data):
        raise ValueError(f"a {kind.__name__} frame is longer than its fields")
    return kind(*values)


def _value(kind: str, data: bytes) -> str | bytes | float:
    if kind == "bytes":
        return data
    text = data.decode("utf-8", "surrogateescape")
    if kind == "str":
        return text
    if kind == "bool":
        if text not in ("True", "False"):
            raise ValueError(f"neither true nor false: {text[:20]!a}")
        return text == "True"
    return int(text) if kind == "int" else float(text)
