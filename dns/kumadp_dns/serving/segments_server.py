"""Many answers to one client in one message, which the kernel takes apart (UDP_SEGMENT, made for QUIC).

Sending is four fifths of what an answer costs, and most of that is paid for each message. The parts of a
message are equally long, so that answers are gathered by client and length.
"""

from __future__ import annotations

import contextlib
import mmap
import socket
import struct
from collections.abc import Mapping, Sequence

from kumadp_dns.serving.datagrams_server import NAME_BYTES, SLOTS, Calls, Messages

WORTHWHILE = 8
"""Queries that come at once; of fewer the gathering costs more than it saves."""

_SOL_UDP, _UDP_SEGMENT = 17, 103
_MAX_PART_BYTES = 1_024
_TRIAL_S = 1.0

Gathered = Mapping[tuple[bytes, int], Sequence[bytes]]
"""Ids and the rest of answers, by client, as the kernel writes an address, and by the length of that rest."""


def are_possible() -> bool:
    """Whether the kernel takes messages apart on loopback, which is tried."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_TRIAL_S)
        sock.bind(("127.0.0.1", 0))
        beside = [(_SOL_UDP, _UDP_SEGMENT, struct.pack("=H", 2))]
        sock.sendmsg([b"1122"], beside, 0, sock.getsockname())
        return [sock.recv(4), sock.recv(4)] == [b"11", b"22"]
    return False


class Segments:
    """Messages that go out of one UDP socket to clients on this host."""

    def __init__(self, sock: socket.socket) -> None:
        """Raises Unsupported."""
        self.works = True
        """False once the kernel has refused one."""
        self._calls = Calls(sock)
        self._name_bytes = NAME_BYTES[int(sock.family)]
        self._data = mmap.mmap(-1, SLOTS * _MAX_PART_BYTES)
        self._names = mmap.mmap(-1, SLOTS * self._name_bytes)
        self._messages = Messages(self._data, self._names, self._name_bytes)
        self._begin = self._messages.bases[0]
        self._parts = self._messages.tell_beside(_SOL_UDP, _UDP_SEGMENT)

    def send(self, gathered: Gathered) -> None:
        """At most SLOTS answers, of at most 1,024 bytes."""
        data, names, messages = self._data, self._names, self._messages
        at = 0
        for slot, ((client, size), pieces) in enumerate(gathered.items()):
            message = b"".join(pieces)
            end = at + len(message)
            data[at:end] = message
            names[slot * self._name_bytes : (slot + 1) * self._name_bytes] = client
            messages.bases[slot], messages.sizes[slot] = self._begin + at, len(message)
            self._parts[slot] = size + 2
            at = end
        self.works = self._calls.send(messages, 0, len(gathered))
