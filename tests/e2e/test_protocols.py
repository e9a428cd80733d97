"""Every protocol passes through a sidecar pair over mTLS."""

from __future__ import annotations

import json
import socket

import grpc
from h2.connection import H2Connection
from h2.events import DataReceived, ResponseReceived, StreamEnded

from lab import Lab, eventually, tcp_line
from pair import start_pair


def test_http1_keeps_its_requests_and_learns_the_caller(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    status, body = pair.call()
    assert (status, body["name"]) == (200, "backend-1")
    assert pair.identity() == "spiffe://default/web"
    assert "x-kuma-tags" not in body["headers"]


def _http2_body(port: int) -> bytes:
    """Body of a GET with HTTP/2 by prior knowledge, b"" without a 200."""
    connection = H2Connection()
    connection.initiate_connection()
    headers = [(":method", "GET"), (":scheme", "http"), (":authority", "backend"), (":path", "/")]
    connection.send_headers(1, headers, end_stream=True)
    status, body = "", b""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(connection.data_to_send())
        while data := sock.recv(65536):
            for event in connection.receive_data(data):
                match event:
                    case ResponseReceived():
                        status = dict(event.headers)[b":status"].decode()
                    case DataReceived():
                        body += event.data
                    case StreamEnded():
                        return body if status == "200" else b""
            sock.sendall(connection.data_to_send())
    return b""


def test_http2_end_to_end(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, protocol="http2")
    answer = json.loads(eventually(lambda: _http2_body(pair.port), "an HTTP/2 answer"))
    assert answer == {"name": "backend-1", "protocol": "h2"}


def test_grpc_unary_and_stream(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, protocol="grpc")
    with grpc.insecure_channel(f"127.0.0.1:{pair.port}") as channel:
        unary = channel.unary_unary("/test.Echo/Unary")
        stream = channel.stream_stream("/test.Echo/Stream")
        assert unary(b"hello", wait_for_ready=True, timeout=20) == b"backend-1 hello"
        assert list(stream(iter([b"a", b"b"]), timeout=20)) == [b"backend-1 a", b"backend-1 b"]


def test_tcp_passes_bytes_both_ways(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, protocol="tcp")
    assert eventually(lambda: tcp_line(pair.port, b"hello\n"), "a TCP answer") == b"backend-1 hello\n"
    assert pair.backend.stat(f"listener.127.0.0.1_{pair.backend_inbound}.ssl.handshake") > 0
