"""Queries received and answered in slots of memory that stay: many in one system call.

Every slot receives a query and sends the answer from the same place: the id is there already, and the kernel
has written the client's address to where it will read it again.
"""

from __future__ import annotations

import mmap
import socket
import sys

from kumadp_dns.serving.datagrams_server import NAME_BYTES, SLOTS, Calls, Messages

SLOT_BYTES = 2_048
"""Of a query; what is longer is cut by the kernel, and is no query that a resolver sends."""

Client = tuple[str | int, ...]


class Batch:
    """Slots for the datagrams of one UDP socket. `data[starts[i]:]` is what slot i received, `lengths[i]` how
    much; written over it, and its size to `sizes[i]`, goes the answer."""

    def __init__(self, sock: socket.socket) -> None:
        """Raises Unsupported."""
        self._calls = Calls(sock)
        self._family = int(sock.family)
        size = NAME_BYTES[self._family]
        self.places = tuple(slice(slot * size, (slot + 1) * size) for slot in range(SLOTS))
        """Of the clients' addresses in `names`."""
        self.data = mmap.mmap(-1, SLOTS * SLOT_BYTES)
        self.names = mmap.mmap(-1, SLOTS * size)
        self._queries = Messages(self.data, self.names, size)
        self._answers = Messages(self.data, self.names, size)
        self.starts = self._queries.starts
        self.lengths = self._queries.lengths
        self.sizes = self._answers.sizes

    def receive(self) -> int:
        """How many slots are filled now, from the first on; 0 when nothing is there."""
        return self._calls.receive(self._queries)

    def send(self, first: int, end: int) -> None:
        """The answers in these slots."""
        self._calls.send(self._answers, first, end)

    def is_of_one_client(self, filled: int, at_least: int) -> bool:
        """Whether it looks as if so many slots or more were filled by the same client."""
        return filled >= at_least and self.names[self.places[0]] == self.names[self.places[filled - 1]]

    def query(self, slot: int) -> bytes:
        """What the slot has received."""
        start = self.starts[slot]
        return self.data[start : start + self.lengths[slot]]

    def client(self, slot: int) -> Client:
        """Who has sent it, as `sendto` wants it."""
        name = self.names[self.places[slot]]
        port = int.from_bytes(name[2:4], "big")
        if self._family == socket.AF_INET:
            return socket.inet_ntop(self._family, name[4:8]), port
        flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
        return socket.inet_ntop(self._family, name[8:24]), port, flow, scope
