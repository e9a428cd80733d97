"""Ports of this run: the default if it is free, else another one, without two agents taking the same."""

from __future__ import annotations

import contextlib
import errno
import socket
from collections.abc import Iterator

from kumamesh.errors import UserError

LOOPBACK = "127.0.0.1"
_BACKLOG = 128


class PortClaims(contextlib.ExitStack):
    """Ports that Envoy will bind later. Each is held by an abstract Unix socket: agents that start at the
    same time see it at once, and it vanishes with the process."""

    def claim(self, preferred: int) -> int:
        """The preferred port if nobody has it, else one that the kernel calls free."""
        port = preferred
        while not self._claimed(port):
            with socket.socket() as probe:
                probe.bind((LOOPBACK, 0))
                port = probe.getsockname()[1]
        return port

    def hold(self, port: int, problem: str) -> None:
        """That very port; UserError says the `problem` when somebody has it."""
        if not self._claimed(port):
            raise UserError(problem)

    def _claimed(self, port: int) -> bool:
        claim = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            claim.bind(f"\0kuma-dp/port/{port}")
        except OSError as error:
            # Where such sockets are forbidden, the port itself is all there is to go by.
            if error.errno == errno.EADDRINUSE:
                claim.close()
                return False
        if not is_free(port):
            claim.close()
            return False
        self.enter_context(claim)
        return True


def is_free(port: int) -> bool:
    """Whether a server could listen there now. Closed connections that linger do not count."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError:
            return False
    return True


@contextlib.contextmanager
def loopback_listener(port: int, option: str, *, chosen_by_user: bool) -> Iterator[socket.socket]:
    """A listening socket, on another port if this one is taken and the user did not choose it by `option`."""
    server = _listen(port)
    if server is None and chosen_by_user:
        raise UserError(
            f"{option} {port} is in use on {LOOPBACK}; choose another, or leave it out to get a free one"
        )
    with server or socket.create_server((LOOPBACK, 0), backlog=_BACKLOG) as listener:
        yield listener


def _listen(port: int) -> socket.socket | None:
    server = socket.socket()
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((LOOPBACK, port))
        # Only one socket can listen, so this settles which of two agents gets the port.
        server.listen(_BACKLOG)
    except OSError:
        server.close()
        return None
    return server
