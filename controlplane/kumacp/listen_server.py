"""Listening sockets whose failures name the variable that mends them."""

from __future__ import annotations

import errno
import socket

from kumamesh.errors import UserError
from kumamesh.names import format_address

BACKLOG = 4_096
"""Proxies come back all at once when a control plane restarts; the kernel cuts it to net.core.somaxconn."""


def listen(interface: str, port: int, *, port_variable: str, interface_variable: str = "") -> socket.socket:
    """A listening TCP socket; port 0 takes a free one, `::` listens for IPv4 too. Raises UserError."""
    if not 0 <= port <= 65_535:
        raise UserError(f"cannot listen: {port} is not a port; set {port_variable} to one below 65536")
    family = socket.AF_INET6 if ":" in interface else socket.AF_INET
    try:
        return socket.create_server(
            (interface, port), family=family, backlog=BACKLOG, dualstack_ipv6=interface == "::"
        )
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            reason = f"is in use by another program; stop it, or set {port_variable} to a free port"
        elif error.errno == errno.EACCES:
            reason = f"needs privileges; set {port_variable} to a port above 1023"
        else:
            variables = " and ".join(filter(None, (interface_variable, port_variable)))
            reason = f"cannot be bound ({error.strerror or error}); check {variables}"
        raise UserError(f"cannot listen: {format_address(interface, port)} {reason}") from None
