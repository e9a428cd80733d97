"""An HTTPS server outside the mesh that tells what it saw of its client."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from echo_app import HttpServer
from lab import free_port
from mesh_pki import Pki


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        connection = self.connection
        assert isinstance(connection, ssl.SSLSocket)
        certificate = connection.getpeercert() or {}
        seen = {
            "sni": getattr(connection, "asked_for", None),
            "client": [value for _, value in certificate.get("subjectAltName", ())],
            "headers": {key.lower(): value for key, value in self.headers.items()},
        }
        body = json.dumps(seen).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _TlsServer(HttpServer):
    """The handshake is made in the thread of the connection, so that a bad client delays nobody."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self._context = context

    def finish_request(self, request: object, client_address: object) -> None:
        try:
            with self._context.wrap_socket(request, server_side=True) as secured:  # type: ignore[arg-type]  # a socket
                super().finish_request(secured, client_address)  # type: ignore[arg-type]  # an address
        except OSError:
            pass  # refused by one of the two: that is what some tests are about


@contextmanager
def tls_server(folder: Path, pki: Pki, *names: str, clients: Pki | None = None) -> Iterator[int]:
    """The port of a server with these names on 127.0.0.1; with `clients`, it wants certificates of theirs."""
    files = folder / f"{'-'.join(names)}.pem"
    certificate, key = pki.server(*names)
    files.write_bytes(certificate + key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files)
    context.sni_callback = _note
    if clients is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=clients.ca.decode())
    port = free_port()
    server = _TlsServer(port, context)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _note(connection: ssl.SSLSocket, name: str | None, _: ssl.SSLContext) -> None:
    connection.asked_for = name  # type: ignore[attr-defined]  # read by the handler
