"""The application of a delegated gateway: `python reverse_proxy.py PORT UPSTREAM_PORT`.

Takes plain HTTP from anybody and passes it on, knowing nothing of a mesh.
"""

from __future__ import annotations

import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler

from echo_app import HttpServer


class Forward(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    upstream = ""

    def do_GET(self) -> None:
        try:
            with urllib.request.urlopen(self.upstream + self.path, timeout=20) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        except OSError:
            status, body = 502, b""
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


if __name__ == "__main__":
    port, upstream_port = (int(argument) for argument in sys.argv[1:])
    Forward.upstream = f"http://127.0.0.1:{upstream_port}"
    HttpServer(("127.0.0.1", port), Forward).serve_forever()
