"""Applications behind sidecars, as programs: `python echo_app.py KIND NAME PORT [HOST]`.

KIND is http (HTTP/1.1, JSON with name and headers), http2 (h2c), grpc (unary and stream echo), tcp (each
line comes back behind the name). `/slow/SECONDS` of http answers late, `/status/N` with that status; its
answers have the JSON object of the variable ECHO_FACTS too.
"""

from __future__ import annotations

import json
import os
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FACTS = json.loads(os.environ.get("ECHO_FACTS", "{}"))


class Http(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Headers and body in one segment: Nagle and delayed ACK would add 40 ms to every answer.
    wbufsize = -1
    disable_nagle_algorithm = True
    name = ""

    def do_GET(self) -> None:
        length = int(self.headers.get("content-length", 0))
        received = self.rfile.read(length)
        status = 200
        match self.path.strip("/").split("/"):
            case ["slow", seconds]:
                time.sleep(float(seconds))
            case ["status", code]:
                status = int(code)
        headers = {key.lower(): value for key, value in self.headers.items()}
        answer = {"name": self.name, "headers": headers, "received": len(received), **FACTS}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_PUT = do_GET

    def log_message(self, format: str, *args: object) -> None:
        pass


class HttpServer(ThreadingHTTPServer):
    request_queue_size = 256
    daemon_threads = True


def serve_http(name: str, address: tuple[str, int]) -> None:
    Http.name = name
    HttpServer(address, Http).serve_forever()


class Tcp(socketserver.StreamRequestHandler):
    name = ""

    def handle(self) -> None:
        for line in self.rfile:
            self.wfile.write(self.name.encode() + b" " + line)


class TcpServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def serve_tcp(name: str, address: tuple[str, int]) -> None:
    Tcp.name = name
    TcpServer(address, Tcp).serve_forever()


class Http2(socketserver.BaseRequestHandler):
    name = ""

    def handle(self) -> None:
        import h2.config
        import h2.connection
        import h2.events

        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        connection.initiate_connection()
        self.request.sendall(connection.data_to_send())
        while data := self.request.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.StreamEnded):
                    body = json.dumps({"name": self.name, "protocol": "h2"}).encode()
                    connection.send_headers(event.stream_id, [(":status", "200")])
                    connection.send_data(event.stream_id, body, end_stream=True)
            self.request.sendall(connection.data_to_send())


def serve_http2(name: str, address: tuple[str, int]) -> None:
    Http2.name = name
    TcpServer(address, Http2).serve_forever()


def serve_grpc(name: str, address: tuple[str, int]) -> None:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    def unary(request: bytes, _: object) -> bytes:
        return name.encode() + b" " + request

    def stream(requests: object, _: object) -> object:
        for request in requests:  # type: ignore[attr-defined]
            yield name.encode() + b" " + request

    server = grpc.server(ThreadPoolExecutor(16))
    handlers = {
        "Unary": grpc.unary_unary_rpc_method_handler(unary),
        "Stream": grpc.stream_stream_rpc_method_handler(stream),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", handlers),))
    server.add_insecure_port(f"{address[0]}:{address[1]}")
    server.start()
    threading.Event().wait()


SERVERS = {"http": serve_http, "http2": serve_http2, "grpc": serve_grpc, "tcp": serve_tcp}

if __name__ == "__main__":
    kind, app_name, port, *host = sys.argv[1:]
    SERVERS[kind](app_name, ((host or ["127.0.0.1"])[0], int(port)))
