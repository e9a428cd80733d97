"""`recvmmsg` and `sendmmsg` through ctypes, and the memory that they are told of."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import socket
from typing import Any

SLOTS = 64
"""Datagrams of one call; more do not make a query cheaper, but keep others waiting."""
NAME_BYTES = {int(socket.AF_INET): 16, int(socket.AF_INET6): 28}
"""Of a socket address."""

_DONTWAIT = int(socket.MSG_DONTWAIT)
_PASSING = (errno.EAGAIN, errno.ENOBUFS, errno.ENOMEM)


class Unsupported(Exception):
    """This system has no such calls, or forbids them."""


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


class Control(ctypes.Structure):
    """Something told beside a message: one number of 16 bits."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("value", ctypes.c_uint16),
    )


class Messages:
    """One for each slot: its client at `names[i * name_bytes:]`, and one piece of `data`, which begins at
    `starts[i]`. What changes from call to call has a view for all of them: an item of that takes 20 ns, an
    attribute through ctypes 100."""

    def __init__(self, data: mmap.mmap, names: mmap.mmap, name_bytes: int) -> None:
        each = len(data) // SLOTS
        self.starts = tuple(range(0, SLOTS * each, each))
        self._array, self._vectors = (_Message * SLOTS)(), (_Vector * SLOTS)()
        for slot, (message, vector) in enumerate(zip(self._array, self._vectors, strict=True)):
            vector.base, vector.size = _address(data) + self.starts[slot], each
            message.header.name = _address(names) + slot * name_bytes
            message.header.name_size = name_bytes
            message.header.vectors, message.header.vector_count = ctypes.addressof(vector), 1
        self.places = tuple(ctypes.addressof(message) for message in self._array)
        self.lengths = _words(self._array, "I", _Message.length.offset)
        """Of what was received."""
        self.bases = _words(self._vectors, "N", _Vector.base.offset)
        """Addresses of the pieces."""
        self.sizes = _words(self._vectors, "N", _Vector.size.offset)
        """Of the pieces: room to receive, or what is to be sent."""

    def tell_beside(self, level: int, kind: int) -> memoryview[int]:
        """Give each message a number of this kind; the view that sets it."""
        self._controls = (Control * SLOTS)()
        size = Control.value.offset + Control.value.size
        for message, beside in zip(self._array, self._controls, strict=True):
            beside.size, beside.level, beside.kind = size, level, kind
            message.header.control = ctypes.addressof(beside)
            message.header.control_size = ctypes.sizeof(Control)
        return _words(self._controls, "H", Control.value.offset)


class Calls:
    """For one socket, which does not block."""

    def __init__(self, sock: socket.socket) -> None:
        """Raises Unsupported."""
        self._fd = sock.fileno()
        # This process has one thread: nobody gains from the interpreter's lock given up and taken again.
        library = ctypes.PyDLL(None, use_errno=True)
        try:
            receive, send = library.recvmmsg, library.sendmmsg
        except AttributeError:
            raise Unsupported("the C library has no recvmmsg") from None
        receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._recvmmsg, self._sendmmsg = receive, send
        if receive(self._fd, None, 0, _DONTWAIT, None) < 0:
            raise Unsupported(os.strerror(ctypes.get_errno()))

    def receive(self, messages: Messages) -> int:
        """How many are filled now, from the first on; 0 when nothing is there."""
        filled: int = self._recvmmsg(self._fd, messages.places[0], SLOTS, _DONTWAIT, None)
        return max(0, filled)

    def send(self, messages: Messages, first: int, end: int) -> bool:
        """Those in these slots. What cannot be sent is given up, as the network might have done; False when
        that was not for want of memory."""
        works = True
        while first < end:
            sent = self._sendmmsg(self._fd, messages.places[first], end - first, _DONTWAIT)
            if sent < 0:
                if ctypes.get_errno() in _PASSING:
                    break
                works, sent = False, 1
            first += sent
        return works


def _address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


def _words(array: ctypes.Array[Any], code: str, offset: int) -> memoryview[int]:
    """One field of all elements."""
    words: memoryview[int] = memoryview(array).cast("B").cast(code)  # type: ignore[call-overload]  # "N" is known
    return words[offset // words.itemsize :: ctypes.sizeof(array._type_) // words.itemsize]
