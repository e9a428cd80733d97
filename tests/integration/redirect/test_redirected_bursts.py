"""Answers of the name server by the burst, to clients that asked another server and were redirected."""

from __future__ import annotations

import contextlib
import socket

import pytest

from dns_queries import NAMES, query, read, table_of
from host_tables import BACKENDS, TOOLS
from kumadp_dns.figures import Figures
from kumadp_dns.forwarding.outcomes import Done
from kumadp_dns.serving.batched_server import Batched
from kumadp_dns.serving.datagrams_server import SLOTS, Calls, Messages
from kumadp_dns.serving.resolver import Resolver
from redirected_network import missing, network
from redirected_sockets import connected, name_server, on

LACKING = missing(*TOOLS)
pytestmark = pytest.mark.skipif(bool(LACKING), reason=LACKING)

SERVER = {4: "10.123.0.99", 6: "fd00:123::99"}
"""Nobody has it: what arrives was redirected."""


class _NoForwarder:
    def submit(self, packet: bytes, tcp: bool, done: Done, client: str | None) -> None:
        raise AssertionError("nothing is to be forwarded")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("family", [4, 6])
def test_all_clients_get_their_own_answers_from_whom_they_asked(
    backend: str, family: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of which many leave in one message, whose address the kernel changes before it takes the
    message apart."""
    sent: list[int] = []
    real = Calls.send

    def counted(self: Calls, messages: Messages, first: int, end: int) -> bool:
        sent.append(end - first)
        return real(self, messages, first, end)

    monkeypatch.setattr(Calls, "send", counted)
    with network("here") as hosts, on(hosts["here"], backend, "--redirect-all-dns-traffic"):
        sock = name_server(family)
        sock.setblocking(False)
        server = _server(sock)
        clients = [connected(family, (SERVER[family], 53), udp=True) for _ in range(3)]
        for _ in range(3):
            asked: dict[socket.socket, dict[int, bytes]] = {client: {} for client in clients}
            for number in range(SLOTS):
                # The first is that of the last, too, which is what makes them answered together.
                client = clients[number % 3]
                packet = number.to_bytes(2, "big") + query(list(NAMES)[number % len(NAMES)])[2:]
                client.send(packet)
                asked[client][number] = packet
            with contextlib.closing(clients.pop()) as gone:  # it does not wait for its answers
                del asked[gone]
                server.read()
            clients.append(connected(family, (SERVER[family], 53), udp=True))
            for client, questions in asked.items():
                _check(client, questions)
        assert len(sent) == 3
        assert max(sent) < SLOTS


def _server(sock: socket.socket) -> Batched:
    figures = Figures()
    resolver = Resolver(figures, _NoForwarder(), float)
    resolver.use(table_of(), 0.0)
    return Batched(sock, resolver, figures)


def _check(client: socket.socket, questions: dict[int, bytes]) -> None:
    while questions:
        reply = client.recv(65_535)
        packet = questions.pop(int.from_bytes(reply[:2], "big"))
        assert reply[12 : len(packet)] == packet[12:]
        assert read(reply).rcode() == 0
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(65_535)
    client.settimeout(10)
