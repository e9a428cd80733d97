"""Queries by the batch, with real sockets and without the worker: one turn is one call."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from dns_queries import NAMES, query, read, table_of
from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.outcomes import Done
from kumadp_dns.serving import segments_server
from kumadp_dns.serving.batched_server import Batched
from kumadp_dns.serving.datagrams_server import SLOTS, Calls, Messages
from kumadp_dns.serving.resolver import Resolver
from name_server import LOOPBACK, udp_client

Turn = Callable[[], Figures]
HOSTS = pytest.mark.parametrize("host", [LOOPBACK, "::1"])


class _NoForwarder:
    def submit(self, packet: bytes, tcp: bool, done: Done, client: str | None) -> None:
        raise AssertionError("nothing is to be forwarded")


@contextlib.contextmanager
def batched(host: str = LOOPBACK) -> Iterator[tuple[int, Batched, Figures]]:
    """On the port; it takes a turn whenever `read` is called."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError:
            pytest.skip(f"this host has no {host}")
        sock.setblocking(False)
        figures = Figures()
        resolver = Resolver(figures, _NoForwarder(), float)
        resolver.use(table_of(), 0.0)
        yield sock.getsockname()[1], Batched(sock, resolver, figures), figures


def burst(*clients: socket.socket) -> dict[socket.socket, dict[int, bytes]]:
    """As many queries as there are slots, in turn from the clients; what each has asked. Answers have several
    lengths, and some are not ready."""
    names = [*NAMES, "nobody.mesh"]
    asked: dict[socket.socket, dict[int, bytes]] = {client: {} for client in clients}
    for number in range(SLOTS):
        packet = (
            number.to_bytes(2, "big") + query(names[number % len(names)], ("A", "AAAA")[number % 3 % 2])[2:]
        )
        client = clients[number // 2 % len(clients)]
        client.send(packet)
        asked[client][number] = packet
    return asked


def check(asked: dict[int, bytes], client: socket.socket) -> None:
    """Each query has got an answer of its own, and nothing else has come."""
    left = dict(asked)
    while left:
        reply = client.recv(65_535)
        packet = left.pop(int.from_bytes(reply[:2], "big"))
        name = packet[12:]
        assert reply[12 : 12 + len(name)] == name
        assert read(reply).answer or read(reply).authority
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(65_535)


@HOSTS
@pytest.mark.parametrize("count", [1, 2, 31])
def test_a_burst_is_answered_in_one_turn_to_whoever_has_asked(host: str, count: int) -> None:
    with batched(host) as (port, server, figures), contextlib.ExitStack() as stack:
        clients = [stack.enter_context(udp_client(port, host)) for _ in range(count)]
        asked = burst(*clients)
        server.read()
        for client in clients:
            check(asked[client], client)
        assert figures.snapshot().durations.total == SLOTS
        assert sum(figures.snapshot().queries.values()) == SLOTS


@HOSTS
def test_many_answers_to_one_client_leave_in_few_messages(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not segments_server.are_possible():
        pytest.skip("this kernel does not take messages apart")
    sent: list[int] = []
    real = Calls.send

    def counted(self: Calls, messages: Messages, first: int, end: int) -> bool:
        sent.append(end - first)
        return real(self, messages, first, end)

    monkeypatch.setattr(Calls, "send", counted)
    with batched(host) as (port, server, _), udp_client(port, host) as client:
        for number in range(SLOTS):
            client.send(number.to_bytes(2, "big") + query("backend.mesh")[2:])
        server.read()
        assert sent == [1]
        assert [int.from_bytes(client.recv(512)[:2], "big") for _ in range(SLOTS)] == list(range(SLOTS))


def test_where_messages_are_not_taken_apart_answers_leave_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segments_server, "are_possible", lambda: False)
    with batched() as (port, server, _), udp_client(port) as client:
        asked = burst(client)
        server.read()
        check(asked[client], client)


def test_a_kernel_that_refuses_such_messages_is_not_given_more(monkeypatch: pytest.MonkeyPatch) -> None:
    if not segments_server.are_possible():
        pytest.skip("this kernel does not take messages apart")
    with contextlib.ExitStack() as stack:
        with monkeypatch.context() as patched:
            patched.setattr(segments_server, "_UDP_SEGMENT", 99)
            patched.setattr(segments_server, "are_possible", lambda: True)
            port, server, _ = stack.enter_context(batched())
        client = stack.enter_context(udp_client(port))
        burst(client)
        server.read()  # their answers are lost but for those that were not ready, as the network might do
        asked = burst(client)
        server.read()
        left = set(asked[client])
        while left:
            left.discard(int.from_bytes(client.recv(512)[:2], "big"))


def test_the_trial_finds_what_this_kernel_can() -> None:
    """Linux has it since 4.18; nothing else depends on the answer than speed."""
    assert segments_server.are_possible()
