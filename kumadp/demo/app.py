"""The demo's application: answers who it is, and calls its peer through the sidecar when asked to.

Run as `python -m kumadp.demo.app NAME PORT [PEER_URL]`. `/` answers name and the caller's mesh identity,
`/call` asks the peer and passes its answer on.
"""

from __future__ import annotations

import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TIMEOUT_S = 5.0


class Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.1, so that Envoy keeps its connections."""

    protocol_version = "HTTP/1.1"
    # Headers and body leave in one segment: Nagle and delayed ACK would add 40 ms to every answer.
    wbufsize = -1
    app_name = ""
    peer_url = ""

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
        try:
            with urllib.request.urlopen(self.peer_url, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError as error:
            return 502, str(error).encode()

    def log_message(self, format: str, *args: object) -> None:
        """Quiet: the demo's table tells what happens."""


def main() -> None:
    Handler.app_name, port = sys.argv[1], int(sys.argv[2])
    Handler.peer_url = sys.argv[3] if len(sys.argv) > 3 else ""
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()


if __name__ == "__main__":
    main()
