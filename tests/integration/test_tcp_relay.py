"""The relays that tests of many zones cut: what passes, what is refused, what is silent."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator

import pytest

from client_hello import client_hello, server_name
from lab import eventually, tcp_line
from tcp_relay import Address, TcpRelay, relays


@contextlib.contextmanager
def _server(name: bytes) -> Iterator[Address]:
    """Answers each line behind its name."""

    class Lines(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):
                for line in self.rfile:
                    self.wfile.write(name + b" " + line)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Lines) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address
        server.shutdown()
        thread.join()


@pytest.fixture
def new_relay() -> Iterator[Callable[..., TcpRelay]]:
    with relays() as new:
        yield new


@pytest.fixture
def echo() -> Iterator[Address]:
    with _server(b"one") as address:
        yield address


@contextlib.contextmanager
def _connected(relay: TcpRelay) -> Iterator[socket.socket]:
    """A connection over which a first line has passed."""
    with socket.create_connection(relay.address, timeout=10) as sock:
        sock.sendall(b"first\n")
        assert sock.recv(100) == b"one first\n"
        yield sock


def _hears_nothing(sock: socket.socket) -> bool:
    sock.settimeout(0.2)
    try:
        sock.recv(100)
    except TimeoutError:
        return True
    finally:
        sock.settimeout(10)
    return False


def test_what_passes_is_counted(new_relay: Callable[..., TcpRelay], echo: Address) -> None:
    relay = new_relay(echo)
    with _connected(relay) as sock:
        assert relay.clients == [sock.getsockname()]
    assert tcp_line(relay.port, b"hello\n") == b"one hello\n"
    assert (relay.accepted, relay.received) == (2, len(b"first\nhello\n"))
    eventually(lambda: not relay.clients, "both gone")


def test_what_is_behind_an_end_arrives(new_relay: Callable[..., TcpRelay], echo: Address) -> None:
    relay = new_relay(echo)
    lines = b"x" * 99 + b"\n"
    with socket.create_connection(relay.address, timeout=10) as sock:
        threading.Thread(target=lambda: (sock.sendall(lines * 20_000), sock.shutdown(socket.SHUT_WR))).start()
        with sock.makefile("rb") as answers:
            assert sum(len(line) for line in answers) == 20_000 * (len(lines) + len(b"one "))


def test_a_refused_hop_resets_and_refuses_until_it_is_healed(
    new_relay: Callable[..., TcpRelay], echo: Address
) -> None:
    relay = new_relay(echo)
    with _connected(relay) as sock:
        relay.refuse()
        with pytest.raises(ConnectionResetError):
            sock.recv(100)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(relay.address, timeout=10)
    relay.heal()
    assert tcp_line(relay.port, b"hello\n") == b"one hello\n"


def test_a_black_hole_is_silent_and_loses_nothing_when_it_heals(
    new_relay: Callable[..., TcpRelay], echo: Address
) -> None:
    relay = new_relay(echo)
    with _connected(relay) as sock:
        relay.blackhole()
        sock.sendall(b"held\n")
        with socket.create_connection(relay.address, timeout=10) as late:
            late.sendall(b"late\n")
            assert _hears_nothing(late)
            assert _hears_nothing(sock)
            relay.heal()
            assert late.recv(100) == b"one late\n"
        assert sock.recv(100) == b"one held\n"


def test_an_end_in_a_black_hole_is_not_told(new_relay: Callable[..., TcpRelay]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        relay = new_relay(server.getsockname())
        with socket.create_connection(relay.address, timeout=10) as client:
            peer, _ = server.accept()
            relay.blackhole()
            peer.close()
            assert _hears_nothing(client)
            relay.heal()
            assert client.recv(100) == b""


def test_a_slow_hop_keeps_the_order(new_relay: Callable[..., TcpRelay], echo: Address) -> None:
    relay = new_relay(echo)
    with _connected(relay) as sock:
        relay.delay(1.0)
        sock.sendall(b"slow\n")
        assert _hears_nothing(sock)
        sock.sendall(b"next\n")
        relay.heal()
        received = b""
        while not received.endswith(b"next\n"):
            received += sock.recv(100)
        assert received == b"one slow\none next\n"


def test_several_targets_take_turns(new_relay: Callable[..., TcpRelay], echo: Address) -> None:
    with _server(b"two") as other:
        relay = new_relay(echo, other)
        answers = [tcp_line(relay.port, b"hello\n").split()[0] for _ in range(4)]
    assert sorted(answers) == [b"one", b"one", b"two", b"two"]


def test_a_target_that_is_gone_is_a_reset(new_relay: Callable[..., TcpRelay]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as gone:
        relay = new_relay(gone.getsockname())
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(relay.address, timeout=10) as sock,
    ):
        sock.recv(100)


def test_names_asked_for_are_seen(new_relay: Callable[..., TcpRelay], echo: Address) -> None:
    relay = new_relay(echo)
    for name in ("one.example", "two.example"):
        with socket.create_connection(relay.address, timeout=10) as sock:
            sock.sendall(client_hello(["kuma"], server_name=name))
            eventually(lambda name=name: name in relay.server_names, "the name")
    assert relay.server_names == ["one.example", "two.example"]


@pytest.mark.parametrize(
    "data", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"]
)
def test_what_is_no_hello_has_no_name(data: bytes) -> None:
    assert server_name(data) is None
