"""Many datagrams in one system call: `recvmmsg` and `sendmmsg` through ctypes, into memory that stays.

Every slot receives a query and sends the answer from the same place: the id is there already, and the kernel
has written the client's address to where it will read it again.
"""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

SLOTS = 64
"""Datagrams of one call; more do not make a query cheaper, but keep others waiting."""
SLOT_BYTES = 2_048
"""Of a query; what is longer is cut by the kernel, and is no query that a resolver sends."""

_DONTWAIT = int(socket.MSG_DONTWAIT)
_NAME_BYTES = {int(socket.AF_INET): 16, int(socket.AF_INET6): 28}
_PASSING = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("length", ctypes.c_uint))


class Unsupported(Exception):
    """This system has no such calls, or forbids them."""


class Batch:
    """Slots for the datagrams of one UDP socket. `data[starts[i]:]` is what slot i received, `lengths[i]` how
    much; written over it, and its size to `sizes[i]`, goes the answer."""

    def __init__(self, sock: socket.socket) -> None:
        """Raises Unsupported."""
        self._fd = sock.fileno()
        self._family = int(sock.family)
        self._recvmmsg, self._sendmmsg = _calls()
        self.data = mmap.mmap(-1, SLOTS * SLOT_BYTES)
        self.starts = tuple(range(0, SLOTS * SLOT_BYTES, SLOT_BYTES))
        self._names = bytearray(SLOTS * _NAME_BYTES[self._family])
        self._queries, _ = received = self._messages()
        self._answers, vectors = sent = self._messages()
        self._memory = received, sent
        self._places = tuple(ctypes.addressof(answer) for answer in self._answers)
        self.lengths = _words(self._queries, "I", _Message.length.offset, ctypes.sizeof(_Message))
        self.sizes = _words(vectors, "N", _Vector.size.offset, ctypes.sizeof(_Vector))
        if self._recvmmsg(self._fd, self._queries, 0, _DONTWAIT, None) < 0:
            raise Unsupported(os.strerror(ctypes.get_errno()))

    def receive(self) -> int:
        """How many slots are filled now, from the first on; 0 when nothing is there."""
        return max(0, self._recvmmsg(self._fd, self._queries, SLOTS, _DONTWAIT, None))

    def send(self, first: int, end: int) -> None:
        """The answers in these slots; one that cannot be sent is given up, as the network might have done."""
        while first < end:
            sent = self._sendmmsg(self._fd, self._places[first], end - first, _DONTWAIT)
            if sent < 0:
                if ctypes.get_errno() in _PASSING:
                    return
                sent = 1
            first += sent

    def query(self, slot: int) -> bytes:
        """What the slot has received."""
        start = self.starts[slot]
        return self.data[start : start + self.lengths[slot]]

    def client(self, slot: int) -> tuple[str | int, ...]:
        """Who has sent it, as `sendto` wants it."""
        size = _NAME_BYTES[self._family]
        name = self._names[slot * size : (slot + 1) * size]
        port = int.from_bytes(name[2:4], "big")
        if self._family == socket.AF_INET:
            return socket.inet_ntop(self._family, name[4:8]), port
        flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
        return socket.inet_ntop(self._family, name[8:24]), port, flow, scope

    def _messages(self) -> tuple[ctypes.Array[_Message], ctypes.Array[_Vector]]:
        """Of all slots, each with the slot's bytes and the place for its client's address."""
        data, names = _address(self.data), _address(self._names)
        name_size = _NAME_BYTES[self._family]
        messages, vectors = (_Message * SLOTS)(), (_Vector * SLOTS)()
        for slot, (message, vector) in enumerate(zip(messages, vectors, strict=True)):
            vector.base, vector.size = data + self.starts[slot], SLOT_BYTES
            message.header.name, message.header.name_size = names + slot * name_size, name_size
            message.header.vectors, message.header.vector_count = ctypes.addressof(vector), 1
        return messages, vectors


def _address(memory: mmap.mmap | bytearray) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _words(array: ctypes.Array[Any], code: str, offset: int, step: int) -> memoryview:
    """One field of all elements: item access to it takes 20 ns, attribute access through ctypes 100."""
    words: memoryview[int] = memoryview(array).cast("B").cast(code)  # type: ignore[call-overload]  # "N" is known
    return words[offset // words.itemsize :: step // words.itemsize]


def _calls() -> tuple[Callable[..., int], Callable[..., int]]:
    # This process has one thread: nobody gains from the interpreter's lock given up and taken again.
    library = ctypes.PyDLL(None, use_errno=True)
    try:
        receive, send = library.recvmmsg, library.sendmmsg
    except AttributeError:
        raise Unsupported("the C library has no recvmmsg") from None
    receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
    send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    return receive, send
