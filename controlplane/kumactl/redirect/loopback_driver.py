"""The address ::6 of the loopback, from which the sidecar connects to its application over IPv6.

127.0.0.6 is there without anybody's doing; of IPv6 the loopback has ::1 alone.
"""

from __future__ import annotations

import errno
import os
import socket
import struct

from kumamesh.errors import UserError

_NEW, _DELETE = 20, 21
_REQUEST, _ACK, _CREATE, _EXCLUSIVE = 0x1, 0x4, 0x400, 0x200
_ADDRESS, _LOCAL = 1, 2
_NO_DUPLICATE_DETECTION = 0x02
_HEADER, _ERROR = "=IHHII", 2


def add(address: str) -> None:
    """It may be there already; raises UserError."""
    _change(_NEW, _CREATE | _EXCLUSIVE, address, errno.EEXIST)


def remove(address: str) -> None:
    """It may be away already; raises UserError."""
    _change(_DELETE, 0, address, errno.EADDRNOTAVAIL)


def _change(kind: int, flags: int, address: str, done: int) -> None:
    packed = socket.inet_pton(socket.AF_INET6, address)
    attributes = b"".join(struct.pack("=HH16s", 20, name, packed) for name in (_LOCAL, _ADDRESS))
    body = struct.pack(
        "=BBBBi", socket.AF_INET6, 128, _NO_DUPLICATE_DETECTION, 0, socket.if_nametoindex("lo")
    )
    length = struct.calcsize(_HEADER) + len(body) + len(attributes)
    message = struct.pack(_HEADER, length, kind, _REQUEST | _ACK | flags, 1, 0) + body + attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as netlink:
        netlink.settimeout(10)
        netlink.send(message)
        answer = netlink.recv(4096)
    _, kind, _, _, _, code = struct.unpack_from(_HEADER + "i", answer)
    if kind != _ERROR or -code not in (0, done):
        verb = "removed from" if kind == _DELETE else "added to"
        raise UserError(f"{address} cannot be {verb} the loopback: {os.strerror(abs(code))}")
