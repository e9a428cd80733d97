"""The demo's application: answers who it is, and calls its peer through the sidecar when asked to.

Run as `python -m kumadp.demo.app NAME PORT [PEER PEER_PORT DNS_PORT]`. `/` answers name and the caller's mesh
identity, `/call` asks the peer and passes its answer on. The name of the peer is looked up at the sidecar's
name server, as the resolver of a host with redirected traffic does for every program.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

from kumadp import dns_client
from kumamesh.errors import UserError

TIMEOUT_S = 5.0
LOOPBACK = "127.0.0.1"


class Peer(NamedTuple):
    """Whom to call, and where its name is known."""

    name: str
    port: int
    dns_port: int

    def request(self) -> urllib.request.Request:
        """Raises OSError when there is no such name."""
        try:
            records = dns_client.lookup(self.name, "A", LOOPBACK, self.dns_port).answer.records
        except UserError as error:
            raise OSError(str(error)) from None
        if not records:
            raise OSError(f"{self.name} is not known")
        address = records[0].split()[-1]
        return urllib.request.Request(
            f"http://{address}:{self.port}/", headers={"host": f"{self.name}:{self.port}"}
        )


class Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.1, so that Envoy keeps its connections."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment: Nagle and delayed ACK would add 40 ms to every answer.
    wbufsize = -1
    app_name = ""
    peer: Peer | None = None

    def do_GET(self) -> None:
        if self.path == "/call":
            status, body = self._call_peer()
        else:
            identity = self.headers.get("x-forwarded-client-cert", "")
            status, body = 200, json.dumps({"name": self.app_name, "client": identity}).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _call_peer(self) -> tuple[int, bytes]:
        if self.peer is None:
            return 404, b"this program calls nobody"
        try:
            with urllib.request.urlopen(self.peer.request(), timeout=TIMEOUT_S) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 502, str(error).encode()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the demo's table tells what happens."""


def main() -> None:
    Handler.app_name, port = sys.argv[1], int(sys.argv[2])
    if len(sys.argv) > 3:
        name, peer_port, dns_port = sys.argv[3:]
        Handler.peer = Peer(name, int(peer_port), int(dns_port))
    ThreadingHTTPServer((LOOPBACK, port), Handler).serve_forever()


if __name__ == "__main__":
    main()
