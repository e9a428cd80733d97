"""Every protocol passes through a sidecar pair over mTLS."""

from __future__ import annotations

import json
import subprocess

import grpc

from lab import Lab, eventually, tcp_line
from pair import start_pair


def test_http1_keeps_its_requests_and_learns_the_caller(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab)
    status, body = pair.call()
    assert (status, body["name"]) == (200, "backend-1")
    assert pair.identity() == "spiffe://default/web"
    assert "x-kuma-tags" not in body["headers"]


def test_http2_end_to_end(mesh_lab: Lab) -> None:
    pair = start_pair(mesh_lab, protocol="http2")

    def call() -> bytes:
        command = [
            "curl",
            "-s",
            "--max-time",
            "5",
            "--http2-prior-knowledge",
            f"http://127.0.0.1:{pair.port}/",
        ]
        return subprocess.run(command, capture_output=True, check=False).stdout

    answer = json.loads(eventually(call, "an HTTP/2 answer"))
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
