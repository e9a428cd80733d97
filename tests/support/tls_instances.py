"""Hand-made ends of mesh TLS: instances of a service without a sidecar, and connections to them that name a
destination by SNI."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mesh_pki import Pki

WITHIN_S = 20.0


class TlsInstance:
    """A server that takes clients of its mesh only. Every line is answered with one line of JSON: who
    answers, which SNI was asked for, and the identity of the client. `accepted` counts connections, whatever
    became of them."""

    def __init__(self, folder: Path, pki: Pki, service: str, name: str) -> None:
        self.name = name
        self.accepted = 0
        self._asked: dict[int, str] = {}
        self._context = _context(ssl.PROTOCOL_TLS_SERVER, folder / f"{pki.mesh}-{name}.pem", pki, service)
        self._context.verify_mode = ssl.CERT_REQUIRED
        self._context.sni_callback = self._note
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._socket.close()

    def _note(self, connection: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
        self._asked[connection.fileno()] = name or ""

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                self.accepted += 1
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), self._context.wrap_socket(plain, server_side=True) as connection:
            told = {
                "name": self.name,
                "sni": self._asked.pop(connection.fileno(), ""),
                "client": _identity(connection),
            }
            with connection.makefile("rb") as lines:
                while lines.readline():
                    connection.sendall(json.dumps(told).encode() + b"\n")


class TlsCaller:
    """A client with an identity of its mesh."""

    def __init__(self, folder: Path, pki: Pki, service: str) -> None:
        self._context = _context(ssl.PROTOCOL_TLS_CLIENT, folder / f"{pki.mesh}-{service}.pem", pki, service)
        self._context.check_hostname = False

    @contextlib.contextmanager
    def connected(self, port: int, server_name: str) -> Iterator[Connection]:
        """Raises OSError when the connection is closed instead."""
        with (
            socket.create_connection(("127.0.0.1", port), timeout=WITHIN_S) as plain,
            self._context.wrap_socket(plain, server_hostname=server_name or None) as connection,
            connection.makefile("rb") as lines,
        ):
            yield Connection(connection, lines)

    def call(self, port: int, server_name: str) -> dict[str, Any]:
        """What one line is answered with, and `server`, the identity of who answers; {} for a connection that
        is closed instead."""
        try:
            with self.connected(port, server_name) as connection:
                return {**connection.ask(), "server": connection.server}
        except OSError:
            return {}


class Connection:
    def __init__(self, connection: ssl.SSLSocket, lines: Any) -> None:
        self.server = _identity(connection)
        self._connection = connection
        self._lines = lines

    def ask(self) -> dict[str, Any]:
        self._connection.sendall(b"hello\n")
        line = self._lines.readline()
        if not line:
            raise ConnectionError("closed")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _context(side: int, path: Path, pki: Pki, service: str) -> ssl.SSLContext:
    path.write_bytes(b"".join(pki.identity(service)))
    context = ssl.SSLContext(side)
    context.load_verify_locations(cadata=pki.ca.decode())
    context.load_cert_chain(path)
    return context


def _identity(connection: ssl.SSLSocket) -> str:
    names = (connection.getpeercert() or {}).get("subjectAltName", ())
    return next((str(value) for kind, value in names if str(value).startswith("spiffe:")), "")
