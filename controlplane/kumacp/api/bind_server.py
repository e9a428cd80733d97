"""Listening sockets whose failures name the variable that mends them."""

from __future__ import annotations

import errno
import socket

from kumamesh.errors import UserError
from kumamesh.names import format_address

BACKLOG = 1024


def bind(interface: str, port: int, *, port_variable: str, interface_variable: str) -> socket.socket:
    """A listening TCP socket; port 0 takes a free one. Raises UserError."""
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    try:
        return socket.create_server((interface, port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = format_address(interface, port)
        if error.errno == errno.EADDRINUSE:
            reason = f"is in use by another program; stop it, or set {port_variable} to a free port"
        elif error.errno == errno.EACCES:
            reason = f"needs privileges; set {port_variable} to a port above 1023"
        else:
            reason = (
                f"cannot be bound ({error.strerror or error}); check {interface_variable} and {port_variable}"
            )
        raise UserError(f"cannot listen: {where} {reason}") from None
    except OverflowError:
        raise UserError(f"cannot listen: {port} is not a port; check {port_variable}") from None
